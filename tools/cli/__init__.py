"""`last-edge`: one command, its parts loaded only when they run."""

from __future__ import annotations

import sys

import typer

from last_edge import __version__
from last_edge.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_MISSING, InputError, LastEdgeError, MissingError
from last_edge.tools.cli import (  # fmt: skip
    bench,
    data,
    doctor,
    eval,
    experiments,
    export,
    models,
    parity,
    record,
    report,
    run,
    synth,
    train,
    translate,
    web,
)
from last_edge.tools.register import Function, Group, Settings, register

ABOUT = "Skeleton recognition from training to an INT8 model on an edge device."
COMMANDS: dict[str, Function | Group] = {
    "train": train.train,
    "distill": train.distill,
    "pretrain": Group(
        "Pre-train a trunk without labels.",
        {"maskclr": train.maskclr},
        "last-edge pretrain maskclr --model last_lite_nano --store STORE --out RUN",
    ),
    "eval": eval.eval,
    "fit-spans": eval.fit_spans,
    "seeds": experiments.seeds,
    "probe": experiments.probe,
    "folds": experiments.folds,
    "ablate": experiments.ablate,
    "export": export.export,
    "quantize": export.quantize,
    "thresholds": export.thresholds,
    "samples": export.samples,
    "parity": parity.parity,
    "verify": parity.verify,
    "engine": export.engine,
    "run": run.run,
    "record": record.record,
    "teach": record.teach,
    "translate": translate.translate,
    "web": web.web,
    "report": report.report,
    "compare": report.compare,
    "doctor": doctor.doctor,
    "service": Group(
        "A bundle that runs without a screen, from the start of the machine on.",
        {"install": run.service_install, "remove": run.service_remove},
        "last-edge service install last_lite_nano_shrec14 --source cam:0 --dry-run",
    ),
    "bench": Group(
        "Measure exported files, training, recordings in real time, memory and start; find the fastest settings.",
        {
            "train": bench.train,
            "tune": bench.tune,
            "live": bench.live,
            "soak": bench.soak,
            "start": bench.start,
            "peers": bench.peers,
        },
        default=bench.bench,
    ),
    "data": Group(
        "Prepare, inspect and synthesise clip stores.",
        {
            "prepare": Group(
                "Read a dataset and write it as a clip store; `prepare NAME --help` shows what NAME can be told.",
                {},
                "last-edge data prepare shrec17 SHREC2017_skeletons.tar.xz --out stores/shrec14",
                cls=data.Formats,
            ),
            "info": data.info,
            "synth": synth.synth,
            "synth-ntu": synth.synth_ntu,
            "synth-nslt": synth.synth_nslt,
            "augment-pool": synth.augment_pool,
            "extract": data.extract,
            "compose": synth.compose,
            "convert": data.convert,
            "background": data.background,
        },
        "last-edge data synth --out runs/signs/store",
    ),
    "models": Group("Models and landmark models.", {"fetch": models.fetch}, default=models.models),
    "zoo": Group(
        "Trained bundles that have a name.",
        {"ls": models.zoo_ls, "get": models.zoo_get},
        "last-edge run last_lite_nano_shrec14 --source cam:0",
    ),
    "recipes": Group(
        "The shipped recipes: every value of a training, with the command that uses it.",
        {"ls": models.recipes_ls, "show": models.recipes_show},
        "last-edge recipes show shrec17",
    ),
}

OUT_OF_MEMORY = ("can't allocate memory", "out of memory")
"""What torch says where numpy and Python raise `MemoryError`."""

app = typer.Typer(
    name="last-edge", help=ABOUT,
    epilog="Example: last-edge data synth --out STORE, then last-edge train --store STORE --out runs/first",
    no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
register(app, COMMANDS)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Skeleton recognition from training to an INT8 model on an edge device."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code and never shows a traceback unless --verbose is given."""
    settings = Settings()
    try:
        code = int(app(args=arguments, standalone_mode=False, obj=settings) or 0)
    except LastEdgeError as error:
        return fail(error.render(), error.exit_code, error, verbose=settings.verbose)
    except KeyboardInterrupt as error:
        return fail("interrupted", EXIT_INTERRUPTED, error, verbose=settings.verbose)
    except typer.Exit as stop:
        code = stop.exit_code
    except ImportError as error:
        return fail(absent(error), EXIT_MISSING, error, verbose=settings.verbose)
    except OSError as error:
        fault = InputError(error.strerror or "cannot use this file", where=error.filename)
        return fail(fault.render(), fault.exit_code, error, verbose=settings.verbose)
    except Exception as error:  # noqa: BLE001 - everything unforeseen becomes one line
        if hasattr(error, "exit_code") and hasattr(error, "show"):
            error.show()
            return int(error.exit_code)
        if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
            lack = MissingError("not enough memory", got=str(error)[:200], hint="smaller sizes, or a larger machine")
            return fail(lack.render(), lack.exit_code, error, verbose=settings.verbose)
        message = f"{type(error).__name__}: {error}\n  this is a bug; --verbose shows where"
        return fail(message, EXIT_BUG, error, verbose=settings.verbose)
    if code == EXIT_INTERRUPTED:  # the command line swallowed the interrupt
        sys.stderr.write("error: interrupted\n")
    return code


def absent(error: ImportError) -> str:
    """What to tell someone who lacks a package, and the extra that brings it."""
    extra = doctor.extra_of(error.name or "")
    hint = f"pip install 'last-edge[{extra}]'" if extra else "last-edge doctor"
    return MissingError("this command needs a package that is not installed", got=error, hint=hint).render()


def fail(message: str, code: int, error: BaseException, *, verbose: bool) -> int:
    """Print an error to stderr, with its traceback where it is wanted, and hand back the exit code."""
    if verbose:
        import traceback

        traceback.print_exception(error)
    sys.stderr.write(f"error: {message}\n")
    return code
