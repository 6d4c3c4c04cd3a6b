"""An ablation: its plan, and doing it: preparations, then cells, each a normal run folder that is made once."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.distill.run import run_distillation
from last_edge.errors import InputError, UsageError
from last_edge.names import did_you_mean
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import held_out
from last_edge.tasks.registry import PRETRAINING
from last_edge.tools.experiments.compare import compared_clips, hits_of, once
from last_edge.train.recipe import load_recipe, read_yaml
from last_edge.train.request import Report, Request
from last_edge.train.run import run_training
from last_edge.train.run_folder import FINAL

SHIPPED = Path(__file__).parent / "plans"
COMMANDS = ("train", "distill", "pretrain")
Hits = NDArray[np.bool_]
MakeReport = Callable[[str], Report]
OnCell = Callable[[], object]


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
    values = read_yaml(path, what="plan", hint=f"--plan {next(iter(plan_files()))}")
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


@dataclass(frozen=True)
class Ablation:
    """A plan on a store. seeds, model: in place of the plan's. sets: above every run's recipe.
    below: recipe values under the plan's, such as an environment's. use: finished runs.

    model: of the cells, and of preparations that name none. use: preparation name -> the run that stands for it.
    only: names of the cells to do; empty for all.
    """

    plan: AblationPlan
    store: Path
    out: Path
    seeds: tuple[int, ...]
    model: str | None = None
    sets: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    use: Mapping[str, Path] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    device: str = "cpu"

    @cached_property
    def opened(self) -> ClipStore:
        """The store."""
        return ClipStore.open(self.store)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells to do, in the plan's order; the baseline always."""
        every = self.plan.all_cells()
        for name in self.only:
            if name not in every:
                raise UsageError(f"the plan has no cell {name!r}", expected=did_you_mean(name, every))
        wanted = {*self.only, self.plan.baseline} if self.only else set(every)
        return {name: cell for name, cell in every.items() if name in wanted}

    @cached_property
    def needed(self) -> list[str]:
        """Preparations that the cells ask for, and those that these ask for, in the plan's order."""
        wanted = {name for cell in self.cells.values() for name in parents(cell)}
        for name in reversed(self.plan.preparations):
            if name in wanted and name not in self.use:
                wanted |= set(parents(self.plan.preparations[name]))
        return [name for name in self.plan.preparations if name in wanted]

    @cached_property
    def val_subjects(self) -> list[str]:
        """Who is held out of every run: as the plan's recipe draws them, by its own seed, whatever a cell's seed is."""
        recipe = load_recipe(self.plan.recipe, overrides=[*self.below, *self.plan.set, *self.sets])
        train = self.opened.select(split="train")
        if len(self.opened.select(split="val")) and not recipe.validation.subjects:
            return []
        subjects = list(held_out(self.opened, train, recipe))
        if not subjects:
            hint = "--set validation.fraction=0.25"
            raise InputError("an ablation needs validation subjects", where=self.store, hint=hint)
        return subjects

    def recipe(self, cell: Cell, *, seed: int | None) -> Recipe:
        """A run's recipe: plan, model, cell, --set, in this order; then seed, held-out subjects and start."""
        model = [f"model.name={self.model}"] if self.model else []
        overrides = [*self.below, *self.plan.set, *model, *cell.set, *self.sets]
        recipe = load_recipe(cell.recipe or self.plan.recipe, overrides=overrides)
        validation = dataclasses.replace(recipe.validation, subjects=self.val_subjects, fraction=0.0)
        start = str(self.place(cell.init)) if cell.init else recipe.training.init
        training = dataclasses.replace(recipe.training, init=start)
        own = recipe.seed if seed is None else seed
        return dataclasses.replace(recipe, seed=own, validation=validation, training=training)

    def place(self, preparation: str) -> Path:
        """Where a preparation's run lies."""
        return self.use.get(preparation) or self.out / "preparations" / preparation

    def folder(self, cell: str, seed: int) -> Path:
        """Where a cell's run lies."""
        return self.out / "cells" / cell / f"seed_{seed}"

    def runs(self) -> Iterator[tuple[str, Cell, Path, int | None]]:
        """Name, cell, folder and seed of every run, in the order in which they are done."""
        for name in self.needed:
            if name not in self.use:
                yield name, self.plan.preparations[name], self.place(name), None
        for name, cell in self.cells.items():
            for seed in self.seeds:
                yield name, cell, self.folder(name, seed), seed


def parents(cell: Cell) -> tuple[str, ...]:
    """Preparations that a cell needs."""
    return (*cell.teachers, *((cell.init,) if cell.init else ()))


def do(ablation: Ablation, *, report: MakeReport, on_cell: OnCell) -> None:
    """Make every run that is not made yet; on_cell is called when all seeds of a cell are there.

    Raises `InterruptedRun` when stopped, with a checkpoint saved: the same call goes on from there.
    """
    check_used(ablation)
    for name, cell, out, seed in ablation.runs():
        title = name if seed is None else f"{name} seed {seed}"
        once(out, _run, ablation, cell, out, seed, report(title))
        if seed == ablation.seeds[-1]:
            on_cell()


def _run(ablation: Ablation, cell: Cell, out: Path, seed: int | None, report: Report) -> dict[str, Any]:
    recipe = ablation.recipe(cell, seed=seed)
    request = Request(recipe, ablation.store, out, device=ablation.device, test=False)
    if cell.command == "pretrain":
        return run_training(request, task=PRETRAINING, report=report)
    if cell.command == "train":
        return run_training(request, report=report)
    teachers = [ablation.place(name) for name in cell.teachers]
    return run_distillation(request, teachers, beside=ablation.out / "cells", report=report)


def check_used(ablation: Ablation) -> None:
    """`InputError` where a run that was handed in is unknown to the plan, unfinished, or met validation subjects."""
    for name, path in ablation.use.items():
        if name not in ablation.plan.preparations:
            expected = did_you_mean(name, ablation.plan.preparations)
            raise UsageError(f"the plan has no preparation {name!r}", expected=expected)
        if not (path / FINAL).exists():
            raise InputError("not a finished run", where=path, expected=FINAL)
        final = records.read_json(path / FINAL)
        met = sorted(set(ablation.val_subjects) - set(final.get("val_subjects", [])))
        if met and final.get("store_sha256") == ablation.opened.sha256:
            hint = f"--set validation.subjects=[{','.join(final.get('val_subjects', []))}], or a run that held them out"
            raise InputError(f"{name} learnt from validation subjects", where=path, got=met, hint=hint)


def is_done(folder: Path) -> bool:
    """Whether a run is finished."""
    return (folder / FINAL).exists()


def answers(ablation: Ablation, cell: str, split: str, seeds: Sequence[int]) -> Hits:
    """(seeds, clips) right answers of a finished cell on `val` or `test`."""
    clips = clips_of(ablation, split)
    folders = [ablation.folder(cell, seed) for seed in seeds]
    return np.array([hits_of(folder, ablation.opened, clips, device=ablation.device) for folder in folders])


def clips_of(ablation: Ablation, split: str) -> NDArray[np.int64]:
    """The clips that all cells answer."""
    baseline = ablation.recipe(ablation.plan.all_cells()[ablation.plan.baseline], seed=ablation.seeds[0])
    return compared_clips(ablation.opened, baseline, split)
