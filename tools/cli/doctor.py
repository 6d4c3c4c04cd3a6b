"""`last-edge doctor`: what this machine has, what is missing, and the command that mends each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from last_edge.tools.cli import options

if TYPE_CHECKING:
    from last_edge.tools.cli.checks import Check

Fix = Annotated[bool, typer.Option("--fix", help="Fetch the landmark models that are missing.")]


def doctor(fix: Fix = False, json: options.Json = False, verbose: options.Verbose = False) -> None:
    """Show packages, processor, GPU, cameras, landmark models and real data, with what mends each that is missing.

    Exit code 5 when something is missing that every command needs.

    Example: last-edge doctor --fix
    """
    from last_edge.tools.cli.checks import all_checks, fetch_missing

    if fix:
        fetch_missing()
    checks = all_checks()
    _show(checks, as_json=json)
    _demand([check for check in checks if check.needed and not check.ok])


def _show(checks: list[Check], *, as_json: bool) -> None:
    from last_edge import records
    from last_edge.tools.cli.output import emit

    if as_json:
        emit(
            {"ok": all(check.ok for check in checks), "checks": [records.to_dict(check) for check in checks]},
            as_json=True,
        )
        return
    group = ""
    for check in checks:
        if check.group != group:
            group = check.group
            typer.echo(f"\n{group}")
        typer.echo(line(check))


def line(check: Check) -> str:
    """One check in one line, with what mends it."""
    mark = "[ok]     " if check.ok else "[missing]"
    mend = f"  → {check.mend}" if check.mend and not check.ok else ""
    return f"  {mark} {check.name}: {check.found}{mend}"


def _demand(missing: list[Check]) -> None:
    from last_edge.errors import MissingError

    if missing:
        names = ", ".join(check.name for check in missing)
        raise MissingError("needed and missing", got=names, hint=missing[0].mend)
