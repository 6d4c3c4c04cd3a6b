"""The one place where kinds of learning differ: what a task is asked for, by training, by export and by a proof.

Recognition gives a clip's class, translation its sentence, pre-training a trunk that has seen clips without labels. A
task is chosen once, by the kind of a recipe's model (`registry.task_of`) or by a bundle's manifest
(`task_of_bundle`); from there on nobody asks which it is. A further one, as of streams, is a file beside
`recognition.py` with a class that keeps this protocol, and a line in `registry.py`.

What an 8-bit file must hold to be shipped are `Gate`s: a recipe's limits, to which a task holds what it answers.

Importing a task loads no torch: figures and gates serve where there is none. `Task.learner` loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import QuantizeConfig, Recipe
from last_edge.tasks.plan import Plan

if TYPE_CHECKING:
    from torch import Tensor, nn

    from last_edge.tasks.objective import Objective
    from last_edge.tasks.start import Start, StartReport

SPEED = "times as fast as FP32"
ELSEWHERE = "no limit: made for another device"
HINT = "--qat, --keep-float auto, or other limits with --set quantize.…"
Clips = NDArray[np.int64]
Answers = NDArray[np.float32] | list[str]
"""Of n clips: logits (n, K), or a sentence each."""
Wanted = NDArray[np.int64] | list[str]
"""Of n clips: classes (n,), or a sentence each."""
Row = dict[str, float]
"""An epoch's figures by name."""


@dataclass(frozen=True)
class Gate:
    """One figure against its limit. needed: the limit in words, the weight of one clip allowed for where it counts."""

    name: str
    got: float
    needed: str
    holds: bool

    def row(self) -> dict[str, Figure]:
        """For a table."""
        return {"gate": self.name, "got": round(self.got, 3), "needed": self.needed, "holds": self.holds}


@dataclass(frozen=True)
class Candidate:
    """8-bit files and the float ones they would stand beside, as measured on the same clips.

    reference, answers: of FP32 and of the 8-bit files. size: bytes of these. weights: numbers of the network in them.
    reference_ms, ms: milliseconds a clip.
    """

    reference: NDArray[np.float32] | list[str]
    answers: NDArray[np.float32] | list[str]
    size: int
    weights: int
    reference_ms: float
    ms: float

    def costs(self, limits: QuantizeConfig, *, judge_speed: bool = True) -> list[Gate]:
        """Gates of size and speed. judge_speed: False where the files are meant for another processor than this."""
        size = limits.most_bytes(self.weights)
        speedup = self.reference_ms / self.ms
        fast = at_least(SPEED, speedup, limits.min_speedup) if judge_speed else Gate(SPEED, speedup, ELSEWHERE, True)
        return [at_most("bytes", self.size, size), fast]


def require_gates(gates: Sequence[Gate], *, where: object, hint: str = HINT) -> None:
    """`GateError` with the whole table when one does not hold."""
    failed = [gate.name for gate in gates if not gate.holds]
    if failed:
        table = "; ".join(
            f"{gate.name} {gate.got:.3f} ({gate.needed}){'' if gate.holds else ' FAILED'}" for gate in gates
        )
        raise GateError("the INT8 file is not shipped", where=where, expected="every gate holds", got=table, hint=hint)


def at_most(name: str, got: float, limit: float) -> Gate:
    """Holds up to the limit."""
    return Gate(name, got, f"<= {limit:.2f}", got <= limit + 1e-9)


def at_least(name: str, got: float, limit: float) -> Gate:
    """Holds from the limit on."""
    return Gate(name, got, f">= {limit:.2f}", got >= limit - 1e-9)


@dataclass(frozen=True)
class Views:
    """Augmentations that several runs share: `count` of each clip, drawn by `seed`."""

    count: int
    seed: int


@dataclass(frozen=True)
class Batch:
    """Points (N, ...), what is to be learnt of them, clip ids (N,) and the number of their augmentation."""

    points: Tensor
    labels: Tensor
    clips: Tensor
    view: int


class Trained(Protocol):
    """A checkpoint that was read back, its model in eval mode. labels: names of the logits' columns."""

    @property
    def path(self) -> Path: ...

    @property
    def model(self) -> nn.Module: ...

    @property
    def spec(self) -> InputSpec: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def recipe(self) -> Recipe:
        """What it was trained by."""
        ...


@dataclass(frozen=True)
class Graph:
    """One ONNX file of a model, as it is declared.

    file: its name. name: of the graph. module: what is traced. inputs: examples by name, no size of 1 where an axis is
    free. free: those axes of each input by number, with a name or "". outputs: names in order.
    """

    file: str
    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, dict[int, str]]
    outputs: tuple[str, ...]


class Task(Protocol):
    """A kind of learning. kept: figures that a manifest keeps, beside the split and the store they are of.

    gives, others: what an artefact of it and of the other kinds are called. foreign: options of commands that only
    those have a use for. by_frame: it answers at every frame of a recording, not once of a clip.
    """

    name: str
    kept: tuple[str, ...]
    gives: str
    others: str
    foreign: frozenset[str]
    by_frame: bool

    def fitted(self, recipe: Recipe, store: ClipStore) -> Recipe:
        """The recipe as this store needs it; `UsageError` for what it asks of this task in vain."""
        ...

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        """Whose clips train, validate and test; `InputError` when there is nothing to learn from."""
        ...

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> Learner:
        """The task in one run; `start`: what the recipe's `training.init` names."""
        ...

    def build(self, name: str, *, spec: InputSpec, outputs: int, options: Mapping[str, Any]) -> nn.Module:
        """A registered model of this task, for so many classes or sub-words."""
        ...

    def graphs(self, model: Any, *, name: str, dynamic_time: bool = False) -> tuple[Graph, ...]:
        """The FP32 graphs of a model in its deployed form; of any name. dynamic_time: clips of any length."""
        ...

    def clips(self, store: ClipStore, split: str) -> Clips:
        """The clips of a split that can be measured; `InputError` when there are none."""
        ...

    def usable(self, store: ClipStore, split: str) -> Clips:
        """As `clips`, of which there may be none."""
        ...

    def check_store(self, store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> ClipStore:
        """The store, its classes numbered as an artefact's; `InputError` when its clips are not what that takes or
        gives."""
        ...

    def fits(self, store: ClipStore, labels: tuple[str, ...]) -> bool:
        """Whether a store shows what an artefact with these labels tells apart."""
        ...

    def told_apart(self, labels: tuple[str, ...], layout: str) -> str:
        """What an artefact tells apart, in a few words that differ where two cannot be compared. layout: its name."""
        ...

    def labelled_as(self, store: ClipStore, labels: tuple[str, ...], split: str) -> ClipStore:
        """The store with what an artefact calls its classes, to measure a split; `InputError` for others."""
        ...

    def figures(
        self, answers: Answers, store: ClipStore, clips: Clips, *, labels: tuple[str, ...], merge_at: str = ""
    ) -> dict[str, Any]:
        """Figures of what was answered to some clips, shares in percent. labels: the artefact's own."""
        ...

    def in_words(self, figures: Mapping[str, Any]) -> str:
        """The figures that a person wants to see first, in a line."""
        ...

    def measured(
        self, trained: Trained, store: ClipStore, clips: Clips, *, merge_at: str = "", beam: int | None = None
    ) -> dict[str, Any]:
        """`figures` of what a checkpoint answers to some clips. beam: of a search for sentences, else the recipe's."""
        ...

    def wanted(self, store: ClipStore, clips: Clips) -> Wanted:
        """What is right of some clips."""
        ...

    def gates(
        self, candidate: Candidate, wanted: Wanted, limits: QuantizeConfig, *, judge_speed: bool = True
    ) -> list[Gate]:
        """What 8-bit files must hold to be shipped. One clip may always go wrong: a tie is nobody's fault."""
        ...

    def margins(self, classes: Clips) -> dict[str, float]:
        """How far each kept figure of clips of these classes (n,) may be off, in its own unit, when measured again."""
        ...


def check_options(task: Task, given: Mapping[str, object], *, where: object) -> None:
    """`UsageError` for the first option, by its name, that was given and that only other kinds have a use for."""
    for name, value in given.items():
        if value and name in task.foreign:
            raise UsageError(f"{name} is for {task.others}, this is a {task.gives}", where=where)


class Truth(Protocol):
    """What a batch is held against."""

    def targets(self, points: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Points and targets as the objective takes them."""
        ...

    def hits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many of a batch's clips are right; of sentences, the sum of their shares of right sub-words."""
        ...


class Learner(Truth, Protocol):
    """A task in one run: its model, objective and batches, and what is known of the weights that are found.

    options: of the model, those of its start included. labels: names of the logits' columns. texts: files of each
    checkpoint beside the weights, by name. trunk_only: the checkpoint holds no head. hits_as: name of the share of hits
    in an epoch's row, "" where nothing can be hit. facts: more to tell of a run before it begins.
    """

    plan: Plan
    options: dict[str, Any]
    labels: tuple[str, ...]
    texts: dict[str, str]
    trunk_only: bool
    hits_as: str
    start: Start | None

    @property
    def facts(self) -> dict[str, Any]: ...

    def model(self) -> nn.Module:
        """The model as it is drawn, before anything of the start is in it."""
        ...

    def begin(self, model: nn.Module) -> StartReport | None:
        """Put the start into the model, where there is one; what was taken over."""
        ...

    def objective(self) -> Objective:
        """The plain objective."""
        ...

    def batches(self, epoch: int, batches: list[list[int]], done: int) -> Iterator[Batch]:
        """An epoch's batches of items of the training clips, without the first `done` of them."""
        ...

    def validate(self, model: nn.Module, objective: Objective) -> Row:
        """`val_loss` and more of the validation clips, of a model in eval mode."""
        ...

    def measure(self, chosen: Callable[[nn.Module], nn.Module], row: Row, *, test: bool) -> dict[str, Any]:
        """Figures of the chosen checkpoint by split. chosen: puts its weights into a model. row: of its epoch."""
        ...
