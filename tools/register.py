"""How plain functions become commands: help and example from the docstring, groups of options as one parameter."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature, signature
from typing import Any, Self, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

Function = Callable[..., None]
DEFAULT = "default"


class OptionGroup:
    """Options that several commands share: a frozen dataclass whose fields are typer options.

    A command takes it as one parameter; `expanded` puts the options in its place.
    """

    @classmethod
    def options(cls) -> list[Parameter]:
        """The options, in order."""
        hints = get_type_hints(cls, include_extras=True)
        return [
            Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
            for each in dataclasses.fields(cls)  # type: ignore[arg-type]
        ]

    @classmethod
    def collect(cls, given: dict[str, Any]) -> Self:
        """The group from the values of its options."""
        return cls(**given)


class Command(TyperCommand):
    """A command that takes underscores in the names of options as well as hyphens."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        hyphens = [re.sub(r"^--[a-z_]+", lambda name: name[0].replace("_", "-"), word) for word in args]
        return super().parse_args(ctx, hyphens)


@dataclass(frozen=True)
class Group:
    """Commands under a common word. default: the one that runs where no other is named."""

    text: str
    commands: Mapping[str, Function | Group]
    example: str = ""
    default: Function | None = None
    cls: type[TyperGroup] | None = None


class DefaultGroup(TyperGroup):
    """Runs the command registered as `DEFAULT` unless the first word names another: `bench BUNDLE`, `bench train`.

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


@dataclass
class Settings:
    """What holds for the whole command line, whichever command is given."""

    verbose: bool = field(default=False)


def register(app: typer.Typer, commands: Mapping[str, Function | Group]) -> None:
    """Add every command and group under its name."""
    for name, command in commands.items():
        if isinstance(command, Group):
            app.add_typer(typer_group(command), name=name)
        else:
            app.command(name, cls=Command, **described(command))(expanded(command))


def typer_group(group: Group) -> typer.Typer:
    """A group as typer has it."""
    epilog = f"Example: {group.example}" if group.example else None
    cls = group.cls or (DefaultGroup if group.default else TyperGroup)
    made = typer.Typer(
        cls=cls, help=group.text, short_help=group.text, epilog=epilog, no_args_is_help=group.default is None
    )
    register(made, {**({DEFAULT: group.default} if group.default else {}), **group.commands})
    return made


def described(function: Function) -> dict[str, Any]:
    """A command's help, and as its end the example: the docstring's last paragraph."""
    text, _, example = (function.__doc__ or "").partition("\n\n    Example:")
    return {"help": text, "short_help": text.partition("\n")[0], "epilog": f"Example:{example}"}


def expanded(function: Function) -> Function:
    """The function with the options of an `OptionGroup` in place of each parameter of such a type."""
    groups: dict[str, list[Parameter]] = {}
    types: dict[str, type[OptionGroup]] = {}
    parameters: list[Parameter] = []
    for parameter in signature(function, eval_str=True).parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and issubclass(kind, OptionGroup):
            types[parameter.name], groups[parameter.name] = kind, kind.options()
            parameters += groups[parameter.name]
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    def command(**given: Any) -> None:
        for name, options in groups.items():
            given[name] = types[name].collect({option.name: given.pop(option.name) for option in options})
        function(**given)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return command
