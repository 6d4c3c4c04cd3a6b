"""`last-edge`: one command, its parts loaded only when they run."""

from __future__ import annotations

import sys
from typing import Any

import typer

from last_edge import __version__
from last_edge.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_MISSING, InputError, LastEdgeError, MissingError
from last_edge.tools.cli import (
    ablate_command,
    bench_command,
    bench_train_command,
    compose_command,
    convert_command,
    data_commands,
    doctor,
    engine_command,
    export_commands,
    extract_command,
    folds_command,
    live_command,
    nslt_command,
    ntu_command,
    parity_command,
    pool_command,
    pretrain_command,
    quantize_command,
    record_command,
    report_command,
    runtime_commands,
    seeds_command,
    soak_command,
    start_command,
    train_commands,
    translate_command,
    tune_command,
    web_command,
)
from last_edge.tools.cli.default_group import DEFAULT, DefaultGroup

EPILOG = "Example: last-edge data synth --out STORE, then last-edge train --store STORE --out runs/first"

app = typer.Typer(
    name="last-edge",
    help="Skeleton recognition from training to an INT8 model on an edge device.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def described(function: Any) -> dict[str, Any]:
    """A command's help, and as its end the example: the docstring's last paragraph."""
    text, _, example = (function.__doc__ or "").partition("\n\n    Example:")
    return {"help": text, "epilog": f"Example:{example}"}


def add(*functions: Any) -> None:
    """Register plain functions as commands."""
    for function in functions:
        app.command(**described(function))(function)


def group(name: str, *, text: str, example: str, **functions: Any) -> typer.Typer:
    """Register commands under a common word."""
    commands = typer.Typer(help=text, epilog=f"Example: {example}", no_args_is_help=True)
    for command, function in functions.items():
        commands.command(command, **described(function))(function)
    app.add_typer(commands, name=name)
    return commands


add(train_commands.train, train_commands.distill, train_commands.eval, seeds_command.seeds, pretrain_command.probe)
add(export_commands.export, quantize_command.quantize, parity_command.parity, export_commands.verify)
add(engine_command.engine)
add(runtime_commands.run, record_command.record, web_command.web, report_command.report, doctor.doctor)
add(translate_command.translate)
add(ablate_command.ablate, folds_command.folds)
benches = typer.Typer(
    cls=DefaultGroup,
    help="Measure exported files (bench BUNDLE), training (bench train), recordings in real time (bench live), "
    "a long run's memory (bench soak), the first label of a fresh process (bench start); find the fastest settings "
    "(bench tune).",
)
benches.command(DEFAULT, **described(bench_command.bench))(bench_command.bench)
benches.command("train", **described(bench_train_command.train))(bench_train_command.train)
benches.command("tune", **described(tune_command.tune))(tune_command.tune)
benches.command("live", **described(live_command.live))(live_command.live)
benches.command("soak", **described(soak_command.soak))(soak_command.soak)
benches.command("start", **described(start_command.start))(start_command.start)
app.add_typer(benches, name="bench")
group(
    "pretrain",
    text="Pre-train a trunk without labels.",
    example="last-edge pretrain maskclr --model last_lite_nano --store STORE --out RUN",
    maskclr=pretrain_command.maskclr,
)
group(
    "data",
    text="Prepare, inspect and synthesise clip stores.",
    example="last-edge data synth --out runs/signs/store",
    prepare=data_commands.prepare,
    info=data_commands.info,
    synth=data_commands.synth,
    **{
        "synth-ntu": ntu_command.synth_ntu,
        "synth-nslt": nslt_command.synth_nslt,
        "augment-pool": pool_command.augment_pool,
        "extract": extract_command.extract,
        "compose": compose_command.compose,
        "convert": convert_command.convert,
    },
)
models = group("models", text="", example="last-edge models --layout shrec22", fetch=runtime_commands.fetch)
models.callback(invoke_without_command=True, no_args_is_help=False, **described(train_commands.models))(
    train_commands.models
)
group(
    "recipes",
    text="The shipped recipes: every value of a training, with the command that uses it.",
    example="last-edge recipes show shrec17",
    ls=train_commands.recipes_ls,
    show=train_commands.recipes_show,
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Skeleton recognition from training to an INT8 model on an edge device."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code and never shows a traceback unless --verbose is given."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return told(int(app(args=given, standalone_mode=False) or 0))
    except LastEdgeError as error:
        return fail(error.render(), error.exit_code, given, error)
    except KeyboardInterrupt as error:
        return fail("interrupted", EXIT_INTERRUPTED, given, error)
    except typer.Exit as stop:
        return told(stop.exit_code)
    except ImportError as error:
        return fail(absent(error), EXIT_MISSING, given, error)
    except OSError as error:
        fault = InputError(error.strerror or "cannot use this file", where=error.filename)
        return fail(fault.render(), fault.exit_code, given, error)
    except Exception as error:  # noqa: BLE001 - the last door: everything unforeseen becomes one line
        if hasattr(error, "exit_code") and hasattr(error, "show"):
            error.show()
            return int(error.exit_code)
        message = f"{type(error).__name__}: {error}\n  this is a bug; --verbose shows where"
        return fail(message, EXIT_BUG, given, error)


def told(code: int) -> int:
    """The exit code, with a word to someone who pressed Ctrl-C where the command line swallowed the interrupt."""
    if code == EXIT_INTERRUPTED:
        sys.stderr.write("error: interrupted\n")
    return code


def absent(error: ImportError) -> str:
    """What to tell someone who lacks a package, and the extra that brings it."""
    from last_edge.tools.cli.checks import extra_of

    extra = extra_of(error.name or "")
    hint = f"pip install 'last-edge[{extra}]'" if extra else "last-edge doctor"
    return MissingError("this command needs a package that is not installed", got=error, hint=hint).render()


def fail(message: str, code: int, arguments: list[str], error: BaseException) -> int:
    """Print an error to stderr (with its traceback under --verbose) and hand back the exit code."""
    if "--verbose" in arguments:
        import traceback

        traceback.print_exception(error)
    sys.stderr.write(f"error: {message}\n")
    return code
