"""Errors a user can act on: what happened, where, expected, got, and the next command to type."""

EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_GATE = 4
EXIT_MISSING = 5
EXIT_INTERRUPTED = 130


class LastEdgeError(Exception):
    """Base of every error that is the user's to mend; `exit_code` is what the command returns."""

    exit_code = EXIT_BUG

    def __init__(
        self, what: str, *, where: object = None, expected: object = None, got: object = None, hint: str | None = None
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.hint = hint
        super().__init__(self.render())

    def render(self) -> str:
        """The whole message, one fact a line."""
        facts = {"where": self.where, "expected": self.expected, "got": self.got, "try": self.hint}
        lines = [self.what, *(f"  {name}: {fact}" for name, fact in facts.items() if fact is not None)]
        return "\n".join(lines)


class UsageError(LastEdgeError):
    """The command was called in a way that cannot work (exit code 2)."""

    exit_code = EXIT_USAGE


class InputError(LastEdgeError):
    """A file, folder or artefact is not what it should be (exit code 3)."""

    exit_code = EXIT_INPUT


class GateError(LastEdgeError):
    """A check that guards quality failed: parity, accuracy, latency, integrity (exit code 4)."""

    exit_code = EXIT_GATE


class MissingError(LastEdgeError):
    """Hardware, a dependency or a model file is missing (exit code 5)."""

    exit_code = EXIT_MISSING


class InterruptedRun(LastEdgeError):
    """The run was stopped on purpose after a checkpoint was saved (exit code 130)."""

    exit_code = EXIT_INTERRUPTED
