"""A group of commands with one that needs no name: `bench BUNDLE` beside `bench train`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

DEFAULT = "default"


class DefaultGroup(TyperGroup):
    """Runs the command registered as `DEFAULT` unless the first word names another.

    The word `DEFAULT` itself is never typed. A path that reads like a command's name is written with its folder:
    `./train`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the nameless command in front of words that name none."""
        named = bool(args) and args[0] != DEFAULT and args[0] in self.commands
        return super().parse_args(ctx, args if named else [DEFAULT, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As usual, but help shows the nameless command without a name."""
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == DEFAULT else name, command, rest
