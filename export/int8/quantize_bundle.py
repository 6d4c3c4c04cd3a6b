"""`last-edge quantize`: a bundle gains an 8-bit file, if that file passes every gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.bundle.golden import Golden
from last_edge.bundle.manifest import CARD, GOLDEN, MANIFEST, Figure, Manifest, model_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips, plain_batch
from last_edge.errors import InputError, UsageError
from last_edge.export.int8.calibration import calibration_clips, parts_of
from last_edge.export.int8.qat import QatOptions, train_rounded
from last_edge.export.int8.qdq import target_named
from last_edge.export.int8.quantize import Prepared, QuantizeOptions, prepare
from last_edge.export.int8.selection import judge_of, search_float, sensitivities
from last_edge.export.int8.speed import milliseconds
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.evaluate import check_store, checked_graph, summarise
from last_edge.export.proof.judge import Judge
from last_edge.export.proof.same import LIMIT, parity_rows, tolerance
from last_edge.tasks.config import QuantizeConfig
from last_edge.tasks.gates import Candidate, Gate, require_gates
from last_edge.tasks.plan import clip_ids
from last_edge.tasks.registry import RECOGNITION
from last_edge.tasks.task import Answers, Clips

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
        cls,
        limits: QuantizeConfig,
        *,
        target: str = "cpu-vnni",
        keep_float: Sequence[str] = (),
        latency_budget: float = 1.1,
        run: Path | None = None,
        seed: int = 0,
        qat: QatOptions | None = None,
        teacher: Path | None = None,
    ) -> Self:
        """A plan that holds the file to a recipe's limits. keep_float: nodes, `auto` among them for the search.

        `UsageError` for a teacher without training.
        """
        if teacher is not None and qat is None:
            raise UsageError("--teacher teaches in training alone", hint="--qat")
        floats = tuple(name for name in keep_float if name != AUTO)
        return cls(
            QuantizeOptions.from_recipe(limits, keep_float=floats, target=target),
            count=limits.clips,
            seed=seed,
            run=run,
            search_budget=latency_budget if AUTO in keep_float else None,
            qat=qat,
            teacher=teacher,
            gates=limits,
        )

    @property
    def chooses(self) -> bool:
        """Whether something is chosen, for which people are kept apart."""
        return self.search_budget is not None or self.qat is not None


@dataclass(frozen=True)
class Quantised:
    """manifest: as written. gates: as they stood. tables: what the search and the training went through, by name."""

    manifest: Manifest
    gates: list[Gate]
    tables: dict[str, list[Row]]


def quantize_bundle(
    path: Path,
    store: ClipStore,
    plan: Plan | None = None,
    *,
    split: str = "test",
    threads: int = 1,
    force: bool = False,
    report: Report = lambda name, rows: None,
) -> Quantised:
    """Add an 8-bit graph to a bundle in place, and measure it beside FP32 on `split` of the store.

    Nothing of that split chooses anything: ranges and weights come from training clips, choices from people of the
    training split that are kept apart for them. threads: of the measuring; the file does not depend on it.
    Raises `GateError` with the table, and leaves the bundle as it was, when the file does not pass; `UsageError` when
    the bundle has this file and not `force`; `InputError` when the store is damaged or not of the bundle's kind.
    """
    plan = plan or Plan()
    target = target_named(plan.options.target)
    precision = target.precision
    bundle = open_for_int8(path, precision=precision, force=force)
    if plan.qat is not None and bundle.manifest.features is not None:
        raise UsageError("no training of rounded weights with a second input", where=path, hint="without --qat")
    check_store(bundle, store)
    store.verify()
    graph, chosen, tables, kept = _make(bundle, store, plan, threads=threads, report=report)
    clips = labelled_clips(store, split)
    inputs = plain_batch(store, clips, bundle.manifest.input, bundle.manifest.features)
    graphs = {"fp32": checked_graph(bundle, "fp32"), precision: graph}
    logits = {name: logits_of(content, inputs, threads=threads) for name, content in graphs.items()}
    candidate = _candidate(bundle, graphs, precision, logits, threads=threads)
    limits, wanted = plan.gates or QuantizeConfig(), RECOGNITION.wanted(store, clips)
    gates = RECOGNITION.gates(candidate, wanted, limits, judge_speed=target.runs_here)
    if plan.gates is not None:
        require_gates(gates, where=path)
    golden = bundle.golden
    golden = Golden(golden.inputs, {**golden.logits, precision: logits_of(graph, golden.inputs)})
    manifest = measured(bundle, golden, logits, precision=precision, store=store, clips=clips, split=split)
    if precision == "int8" or not manifest.calibration:
        manifest = calibrated(manifest, kept, plan, store=store, clips=chosen)
    manifest = _without_what_was_of(manifest, precision)
    written = rewrite_bundle(bundle, manifest, files={model_file(precision): graph, GOLDEN: golden.to_bytes()})
    return Quantised(written, gates, tables)


def preview_quantize(path: Path, store: ClipStore, plan: Plan, *, split: str, force: bool) -> dict[str, Any]:
    """The files that `quantize_bundle` would write, and from how many clips; raises as it would."""
    precision = target_named(plan.options.target).precision
    bundle = open_for_int8(path, precision=precision, force=force)
    check_store(bundle, store)
    calibration, judging = calibration_clips(store, count=plan.count, seed=plan.seed), 0
    if plan.chooses:
        parts = parts_of(store, count=plan.count, seed=plan.seed, run=plan.run)
        calibration, judging = parts.calibration, len(parts.judging)
    return {
        "would_write": str(path),
        "files": [model_file(precision), MANIFEST, GOLDEN, CARD],
        "model": bundle.manifest.model.name,
        "clips_for_calibration": len(calibration),
        "clips_that_judge": judging,
        "clips_measured": len(labelled_clips(store, split)),
    }


def open_for_int8(path: Path, *, precision: str = "int8", force: bool) -> Bundle:
    """The bundle, when it may get this INT8 file: `UsageError` when it has it and not `force`."""
    bundle = Bundle.open(path)
    if precision in bundle.precisions and not force:
        what = f"the bundle has an INT8 file, {model_file(precision)}"
        raise UsageError(what, where=path, hint="--force to make it anew")
    return bundle


def _make(
    bundle: Bundle, store: ClipStore, plan: Plan, *, threads: int, report: Report
) -> tuple[bytes, NDArray[np.int64], dict[str, list[Row]], QuantizeOptions]:
    """The 8-bit graph, the clips behind its ranges, tables of what was chosen, and the options it was made with."""
    graph, spec, features = checked_graph(bundle, "fp32"), bundle.manifest.input, bundle.manifest.features
    tables: dict[str, list[Row]] = {}
    if not plan.chooses:
        chosen = calibration_clips(store, count=plan.count, seed=plan.seed)
        prepared = prepare(graph, plain_batch(store, chosen, spec, features), plan.options)
        return prepared.rounded(), chosen, {}, prepared.options
    parts = parts_of(store, count=plan.count, seed=plan.seed, run=plan.run)
    prepared = prepare(graph, plain_batch(store, parts.calibration, spec, features), plan.options)
    judge = judge_of(bundle, store, parts, threads=threads)
    if plan.search_budget is not None:
        prepared, tables = _searched(prepared, judge, plan.search_budget)
        for name, rows in tables.items():
            report(name, rows)
    made = prepared.rounded()
    if plan.qat is not None:
        made, tables["training"] = train_rounded(
            made, _teacher(bundle, plan.teacher), judge, store=store, clips=parts.learning, spec=spec,
            options=plan.qat, report=lambda row: report("training", [row]),
        )  # fmt: skip
    return made, parts.calibration, tables, prepared.options


def _searched(prepared: Prepared, judge: Judge, budget: float) -> tuple[Prepared, dict[str, list[Row]]]:
    table = sensitivities(prepared, judge)
    kept, trials = search_float(prepared, judge, table, judge.inputs, budget=budget)
    options = dataclasses.replace(prepared.options, keep_float=kept)
    return dataclasses.replace(prepared, options=options), {
        "sensitivity": [one.row() for one in table],
        "search": trials,
    }


def _teacher(bundle: Bundle, path: Path | None) -> bytes:
    """The float graph that teaches; `InputError` when another bundle's answers are to other questions."""
    if path is None:
        return checked_graph(bundle, "fp32")
    teacher = Bundle.open(path)
    ours, theirs = bundle.manifest, teacher.manifest
    if (ours.input.sha256, ours.labels) != (theirs.input.sha256, theirs.labels):
        raise InputError("the teacher takes another input or has other labels", where=path,
                         expected=ours.input.sha256, got=theirs.input.sha256)  # fmt: skip
    return checked_graph(teacher, "fp32")


def _candidate(
    bundle: Bundle,
    graphs: dict[str, bytes],
    precision: str,
    logits: dict[str, NDArray[np.float32]],
    *,
    threads: int,
) -> Candidate:
    spent = milliseconds(graphs, bundle.golden.inputs, threads=threads)
    return Candidate(
        reference=logits["fp32"],
        answers=logits[precision],
        size=len(graphs[precision]),
        weights=bundle.manifest.model.params,
        reference_ms=spent["fp32"],
        ms=spent[precision],
    )


def measured(
    bundle: Bundle, golden: Golden, answers: Mapping[str, Answers], *, precision: str, store: ClipStore, clips: Clips,
    split: str,
) -> Manifest:  # fmt: skip
    """The manifest with a precision's tolerance and parity made anew, and every answering precision's figures."""
    manifest, pair = bundle.manifest, f"fp32:{precision}"
    made = (*parity_rows(golden.logits, on="golden"), *parity_rows(answers, on=split))
    figures = {name: summarise(bundle, own, store, clips, split=split) for name, own in answers.items()}
    return dataclasses.replace(
        manifest,
        tolerances={**manifest.tolerances, precision: tolerance(precision, golden.logits[precision])},
        metrics={**manifest.metrics, **figures},
        parity=(
            *(row for row in manifest.parity if row["pair"] != pair),
            *(row for row in made if row["pair"] == pair),
        ),
    )


def calibrated(manifest: Manifest, options: QuantizeOptions, plan: Plan, *, store: ClipStore, clips: Clips) -> Manifest:
    """The manifest with how and on which clips the ranges were found, and how many answers had to be FP32's."""
    limit = {} if plan.gates is None else {LIMIT: plan.gates.min_agreement}
    calibration = {**told(options, plan), "seed": plan.seed, "store_sha256": store.sha256, **limit}
    return dataclasses.replace(manifest, calibration=calibration, calibration_ids=clip_ids(store, clips))


def _without_what_was_of(manifest: Manifest, precision: str) -> Manifest:
    """The manifest without the engines that were built from this precision's former graph, and its tuned settings."""
    source = model_file(precision)
    stale = {name for name, built in manifest.engines.items() if built.get("source") == source}
    return dataclasses.replace(
        manifest,
        files={name: digest for name, digest in manifest.files.items() if name not in stale},
        engines={name: built for name, built in manifest.engines.items() if name not in stale},
        tuned={name: found for name, found in manifest.tuned.items() if name != precision},
    )


def told(options: QuantizeOptions, plan: Plan) -> Row:
    """Options as the manifest's figures; those that had no say are left out."""
    said: Row = {"method": options.method, "float_head": str(options.float_head).lower()}
    if options.method == "percentile":
        said["percentile"] = options.percentile
    if options.equalise:
        said["steps"] = "equalise"
    if options.keep_float:
        said["keep_float"] = " ".join(options.keep_float)
    if plan.qat is not None:
        said["qat_epochs"] = plan.qat.epochs
    return said
