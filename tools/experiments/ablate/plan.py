"""What an ablation compares: a YAML file of runs that are made first, cells, and grids of cells."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from last_edge import records
from last_edge.errors import InputError, UsageError
from last_edge.names import did_you_mean

SHIPPED = Path(__file__).parent / "plans"
COMMANDS = ("train", "distill", "pretrain")


@dataclass(frozen=True)
class Cell:
    """One way of training. set: recipe values as after `--set`. teachers, init: names of preparations.

    recipe: a shipped recipe or a file; empty for the plan's.
    """

    command: str
    recipe: str = ""
    set: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    init: str = ""


@dataclass(frozen=True)
class Grid:
    """Cells for every combination of the axes' values, named PREFIX_AXISVALUE_... axes: axis, value, what it sets."""

    prefix: str
    cell: Cell
    axes: dict[str, dict[str, tuple[str, ...]]]

    def cells(self) -> dict[str, Cell]:
        """All combinations, the last axis fastest."""
        named = [[(f"{axis}{value}", sets) for value, sets in values.items()] for axis, values in self.axes.items()]
        made = {}
        for combination in itertools.product(*named):
            name = "_".join([self.prefix, *(part for part, _ in combination)])
            sets = tuple(text for _, texts in combination for text in texts)
            made[name] = replace(self.cell, set=(*self.cell.set, *sets))
        return made


@dataclass(frozen=True)
class AblationPlan:
    """recipe, set: where every run starts. baseline: the cell that all others are compared with.

    preparations: teachers and pre-trained trunks, made once, before the cells that name them.
    """

    about: str
    recipe: str
    baseline: str
    seeds: tuple[int, ...]
    set: tuple[str, ...] = ()
    preparations: dict[str, Cell] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    grids: tuple[Grid, ...] = ()
    schema_version: int = 1

    def all_cells(self) -> dict[str, Cell]:
        """Named cells, then the grids', those that a cell before them equals left out."""
        found: dict[str, Cell] = {}
        known: list[Cell] = []
        for name, cell in itertools.chain(self.cells.items(), *(grid.cells().items() for grid in self.grids)):
            plain = replace(cell, set=effective(cell.set))
            if plain not in known:
                found[name] = cell
                known.append(plain)
        return found


def effective(sets: tuple[str, ...]) -> tuple[str, ...]:
    """Settings without those that a later one overrides, in order of key."""
    last = {text.partition("=")[0]: text for text in sets}
    return tuple(last[key] for key in sorted(last))


def plan_files() -> dict[str, Path]:
    """Shipped plans by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def load_plan(name: str) -> AblationPlan:
    """A shipped plan by name, or one from a YAML file; every fault is named."""
    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else plan_files().get(name)
    if path is None:
        raise UsageError(f"unknown plan {name!r}", expected=did_you_mean(name, plan_files()), hint="--plan FILE.yaml")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("plan not found", where=path, hint=f"--plan {next(iter(plan_files()))}") from error
    except yaml.YAMLError as error:
        raise InputError("plan is not YAML", where=path, got=error) from error
    plan = records.from_dict(AblationPlan, values, where=path)
    _check(plan, path)
    return plan


def _check(plan: AblationPlan, where: Path) -> None:
    cells = plan.all_cells()
    if plan.baseline not in cells:
        raise InputError("the baseline is no cell", where=where, expected=", ".join(cells), got=plan.baseline)
    if not plan.seeds or len(set(plan.seeds)) != len(plan.seeds):
        raise InputError("a plan needs seeds, each once", where=where, got=plan.seeds)
    for name, cell in {**plan.preparations, **cells}.items():
        _check_cell(name, cell, plan, where)


def _check_cell(name: str, cell: Cell, plan: AblationPlan, where: Path) -> None:
    place = f"{where} › {name}"
    if cell.command not in COMMANDS or (cell.command == "pretrain" and name not in plan.preparations):
        raise InputError("unknown command", where=place, expected="train or distill", got=cell.command)
    if bool(cell.teachers) != (cell.command == "distill"):
        raise InputError("distill needs teachers, the others take none", where=place, got=cell.teachers)
    earlier = list(itertools.takewhile(lambda other: other != name, plan.preparations))
    for needed in (*cell.teachers, *((cell.init,) if cell.init else ())):
        if needed not in earlier:
            expected = did_you_mean(needed, earlier) if earlier else "a preparation before it"
            raise InputError(f"unknown preparation {needed!r}", where=place, expected=expected)
