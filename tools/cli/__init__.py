"""`last-edge`: one command, its parts loaded only when they run."""

import sys

import typer

from last_edge import __version__
from last_edge.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_MISSING, InputError, LastEdgeError, MissingError
from last_edge.tools.register import Settings, register

ABOUT = "Skeleton recognition from training to an INT8 model on an edge device."
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")
"""What torch says where numpy and Python raise `MemoryError`."""


def application(words: list[str] | None = None) -> typer.Typer:
    """The command line; for `run`, by which a device starts, without all other commands, which take a while to load.

    words: what was typed.
    """
    app = typer.Typer(
        name="last-edge",
        help=ABOUT,
        epilog="Example: last-edge data synth --out STORE, then last-edge train --store STORE --out runs/first",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(invoke_without_command=True)(root)
    if words and words[0] == "run":
        from last_edge.tools.cli.run import run

        register(app, {"run": run})
    else:
        from last_edge.tools.cli.commands import COMMANDS

        register(app, COMMANDS)
    return app


def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Skeleton recognition from training to an INT8 model on an edge device."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code and never shows a traceback unless --verbose is given."""
    settings = Settings()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = int(application(words)(args=words, standalone_mode=False, obj=settings) or 0)
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
        if isinstance(error, MemoryError) or any(said in str(error) for said in OUT_OF_MEMORY):
            lack = MissingError("not enough memory", got=str(error)[:200], hint="smaller sizes, or a larger machine")
            return fail(lack.render(), lack.exit_code, error, verbose=settings.verbose)
        message = f"{type(error).__name__}: {error}\n  this is a bug; --verbose shows where"
        return fail(message, EXIT_BUG, error, verbose=settings.verbose)
    if code == EXIT_INTERRUPTED:  # the command line swallowed the interrupt
        sys.stderr.write("error: interrupted\n")
    return code


def absent(error: ImportError) -> str:
    """What to tell someone who lacks a package, and the extra that brings it."""
    from last_edge.tools.cli import doctor

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
