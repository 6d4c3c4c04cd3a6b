"""What `quantize` is asked for, and whose clips find ranges and weights: people of the train split, no others.

A kind of bundle has its own way of getting 8-bit files (`Rounding`); all else is `quantize_bundle`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle, with_hashes
from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips
from last_edge.errors import InputError, UsageError
from last_edge.export.bundles.thresholds import held_out_subjects
from last_edge.export.int8.qat import QatOptions
from last_edge.export.int8.quantize import QuantizeOptions
from last_edge.export.onnx.onnx_graph import metadata_of
from last_edge.export.proof.evaluate import deployed, require_input
from last_edge.tasks.config import QuantizeConfig, Recipe
from last_edge.tasks.plan import CALIBRATION_SPLIT, part_by_people
from last_edge.tasks.registry import RECOGNITION
from last_edge.tasks.task import Answers, Candidate, Clips, Gate, Task
from last_edge.train.checkpoint import checkpoint_folder

AUTO = "auto"
Row = dict[str, Figure]
Report = Callable[[str, list[Row]], None]


@dataclass(frozen=True)
class Plan:
    """What `quantize_bundle` is to do.

    options: of rounding. count, seed: how many training clips find the ranges, and which. run: the bundle's run, whose
    held-out people judge. search_budget: keep sensitive nodes in float while the file stays within so many times the
    latency of the one without; None for no search. qat: train the rounded weights; teacher: a bundle whose FP32 graph
    teaches them, None for the bundle's own. gates: what the file must hold; None to ship it whatever it holds.
    """

    options: QuantizeOptions = field(default_factory=QuantizeOptions)
    count: int = 1000
    seed: int = 0
    run: Path | None = None
    search_budget: float | None = None
    qat: QatOptions | None = None
    teacher: Path | None = None
    gates: QuantizeConfig | None = None

    @classmethod
    def of(
        cls, limits: QuantizeConfig, *, target: str = "cpu-vnni", keep_float: Sequence[str] = (),
        latency_budget: float = 1.1, run: Path | None = None, seed: int = 0, qat: QatOptions | None = None,
        teacher: Path | None = None,
    ) -> Self:  # fmt: skip
        """A plan that holds the file to a recipe's limits. keep_float: nodes, `auto` among them for the search.

        `UsageError` for a teacher without training.
        """
        if teacher is not None and qat is None:
            raise UsageError("--teacher teaches in training alone", hint="--qat")
        floats = tuple(name for name in keep_float if name != AUTO)
        return cls(
            QuantizeOptions.from_recipe(limits, keep_float=floats, target=target), count=limits.clips, seed=seed,
            run=run, search_budget=latency_budget if AUTO in keep_float else None, qat=qat, teacher=teacher,
            gates=limits,
        )  # fmt: skip

    @property
    def chooses(self) -> bool:
        """Whether something is chosen, for which people are kept apart."""
        return self.search_budget is not None or self.qat is not None


@dataclass(frozen=True)
class Made:
    """8-bit files as they may be shipped.

    clips: those that found the ranges. options: as carried out. answers: of FP32 and of these files to the clips that
    are measured. gates: as they stood. tables: what choosing and training went through, by name. events: of streams,
    what those of each file score.
    """

    files: dict[str, bytes]
    clips: Clips
    options: QuantizeOptions
    answers: Mapping[str, Answers]
    gates: list[Gate]
    tables: dict[str, list[Row]]
    events: Mapping[str, dict[str, Figure]] = field(default_factory=dict)


class Rounding(Protocol):
    """How one kind of bundle gets 8-bit files. precision: theirs. names: of all there may be, the first always made.
    store: whose clips serve.
    """

    precision: str
    names: tuple[str, ...]
    store: ClipStore

    def __init__(self, bundle: Bundle, store: ClipStore, plan: Plan) -> None: ...

    def foreseen(self) -> dict[str, Any]:
        """How many clips would calibrate and judge, for a dry run."""
        ...

    def make(self, clips: Clips, *, threads: int, report: Report) -> Made:
        """The files, and what they answer to some clips; `GateError` when they miss the plan's gates."""
        ...


def draft(bundle: Bundle, files: dict[str, bytes], *, without: Sequence[str]) -> Bundle:
    """The bundle as it would be with some files instead of those that it has of these names."""
    kept = {name: bundle.read(name) for name in bundle.manifest.files if name not in without} | files
    return Bundle(bundle.path, with_hashes(bundle.manifest, kept), kept)


def beside_float(
    bundle: Bundle, precision: str, files: dict[str, bytes], store: ClipStore, clips: Clips, *, threads: int,
    times: Callable[[dict[str, bytes]], dict[str, float]],
) -> tuple[dict[str, Answers], dict[str, dict[str, Figure]], Candidate]:  # fmt: skip
    """What a bundle's FP32 graph and its one 8-bit graph answer to some clips, what events of that score, each by
    precision, and what both cost.

    times: milliseconds of graphs by precision, taken in turns.
    """
    (graph,) = files.values()
    both = {"fp32": bundle, precision: draft(bundle, files, without=tuple(files))}
    ready = {name: deployed(one, name, threads=threads) for name, one in both.items()}
    answers = {name: one.answers(store, clips) for name, one in ready.items()}
    events = {name: one.events(store, clips) for name, one in ready.items()}
    spent = times({"fp32": float_graph(bundle), precision: graph})
    candidate = Candidate(
        reference=np.asarray(answers["fp32"]), answers=np.asarray(answers[precision]), size=len(graph),
        weights=bundle.manifest.model.params, reference_ms=spent["fp32"], ms=spent[precision],
    )  # fmt: skip
    return answers, events, candidate


def calibration_clips(store: ClipStore, *, count: int, seed: int) -> NDArray[np.int64]:
    """Up to `count` clip numbers of the train split, as evenly over the classes as they allow, in store order.

    `InputError` when the store has no labelled training clips.
    """
    return evenly_by_class(store, labelled_clips(store, CALIBRATION_SPLIT), count=count, seed=seed)


def evenly_by_class(store: ClipStore, clips: NDArray[np.int64], *, count: int, seed: int) -> NDArray[np.int64]:
    """Up to `count` of these clips, as evenly over the classes as they allow, in store order."""
    random = np.random.default_rng(seed)
    shuffled = clips[random.permutation(len(clips))]
    labels = store.index.label[shuffled]
    earlier = np.zeros(len(labels), np.int64)  # clips of the same class that come before
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        earlier[members] = np.arange(len(members))
    return np.sort(shuffled[np.argsort(earlier, kind="stable")[:count]])


@dataclass(frozen=True)
class Parts:
    """calibration: clips that find ranges. learning: all that weights may be fitted to, those among them. judging: of
    other people, for choosing. subjects: who they are.
    """

    calibration: Clips
    learning: Clips
    judging: Clips
    subjects: tuple[str, ...]


def float_graph(bundle: Bundle) -> bytes:
    """A bundle's FP32 graph; `InputError` when it takes another input than the manifest says."""
    graph = bundle.graph("fp32")
    require_input(metadata_of(graph), bundle)
    return graph


def parts_of(store: ClipStore, *, count: int, seed: int, run: Path | None = None, task: Task = RECOGNITION) -> Parts:
    """Part the train split by people. run: its held-out people judge; else as many as a training would hold out.

    A store's own `val` split judges too. `InputError` when nobody is left on one side.
    """
    train, own = task.clips(store, CALIBRATION_SPLIT), task.usable(store, "val")
    held = None if run is None else held_out_subjects(checkpoint_folder(run))
    learning, judging, subjects = part_by_people(store, train, own, Recipe(seed=seed), held=held)
    if not len(judging) or not len(learning):
        raise InputError(
            "an INT8 file needs people to judge it apart from those that calibrate", where=store.path,
            expected="two subjects in the train split, or a val split",
            got=f"{len(set(store.index.subject[train]))} subjects",
        )  # fmt: skip
    return Parts(evenly_by_class(store, learning, count=count, seed=seed), learning, np.sort(judging), subjects)
