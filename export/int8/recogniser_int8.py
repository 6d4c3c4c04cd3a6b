"""A recogniser's graph in 8 bits, and what is chosen on people who judge: nodes that stay float, epochs, variants."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure, model_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import InputError
from last_edge.export.int8.evaluator import Evaluator, milliseconds
from last_edge.export.int8.plan import (
    Made,
    Parts,
    Plan,
    Report,
    Row,
    beside_float,
    calibration_clips,
    float_graph,
    parts_of,
)
from last_edge.export.int8.qat import train_rounded
from last_edge.export.int8.qdq import float_nodes, read_graph, target_named
from last_edge.export.int8.quantize import Prepared, QuantizeOptions, prepare, quantize_graph, relu_pairs
from last_edge.export.proof.evaluate import check_store
from last_edge.inputs.features import Inputs
from last_edge.tasks.config import QuantizeConfig
from last_edge.tasks.registry import RECOGNITION, task_of_bundle
from last_edge.tasks.task import Clips, check_options, require_gates

WEIGHED = ("Conv", "MatMul", "Add")


class RecogniserRounding:
    """See `Rounding`. The gates are held on the clips that are measured; nothing of those chooses anything."""

    def __init__(self, bundle: Bundle, store: ClipStore, plan: Plan) -> None:
        self.bundle, self.store, self.plan, self.target = bundle, store, plan, target_named(plan.options.target)
        self.precision = self.target.precision
        self.names: tuple[str, ...] = (model_file(self.precision),)

    def foreseen(self) -> dict[str, Any]:
        if self.plan.chooses:
            parts = self.parts()
            return {"clips_for_calibration": len(parts.calibration), "clips_that_judge": len(parts.judging)}
        calibration = calibration_clips(self.store, count=self.plan.count, seed=self.plan.seed)
        return {"clips_for_calibration": len(calibration), "clips_that_judge": 0}

    def parts(self) -> Parts:
        """Whose clips calibrate and whose judge."""
        return parts_of(self.store, count=self.plan.count, seed=self.plan.seed, run=self.plan.run)

    def make(self, clips: Clips, *, threads: int, report: Report) -> Made:
        bundle, precision, plan = self.bundle, self.precision, self.plan
        graph, chosen, tables, options = self._rounded(threads=threads, report=report)
        files = {self.names[0]: graph}
        answers, _, candidate = beside_float(
            bundle, precision, files, self.store, clips, threads=threads,
            times=partial(milliseconds, inputs=bundle.golden.inputs, threads=threads),
        )  # fmt: skip
        limits, wanted = plan.gates or QuantizeConfig(), RECOGNITION.wanted(self.store, clips)
        gates = RECOGNITION.gates(candidate, wanted, limits, judge_speed=self.target.runs_here)
        if plan.gates is not None:
            require_gates(gates, where=bundle.path)
        return Made(files, chosen, options, answers, gates, tables)

    def _rounded(self, *, threads: int, report: Report) -> tuple[bytes, Clips, dict[str, list[Row]], QuantizeOptions]:
        """The 8-bit graph, the clips behind its ranges, tables of what was chosen, and the options it was made with."""
        bundle, store, plan = self.bundle, self.store, self.plan
        graph, spec, features = float_graph(bundle), bundle.manifest.input, bundle.manifest.features
        if not plan.chooses:
            chosen = calibration_clips(store, count=plan.count, seed=plan.seed)
            prepared = prepare(graph, plain_batch(store, chosen, spec, features), plan.options)
            return prepared.rounded(), chosen, {}, prepared.options
        parts, tables = self.parts(), dict[str, list[Row]]()
        prepared = prepare(graph, plain_batch(store, parts.calibration, spec, features), plan.options)
        evaluator = evaluator_of(bundle, store, parts, threads=threads)
        if plan.search_budget is not None:
            table = sensitivities(prepared, evaluator)
            most = None if plan.gates is None else plan.gates.most_bytes(bundle.manifest.model.params)
            kept, trials = search_float(prepared, evaluator, table, budget=plan.search_budget, most_bytes=most)
            prepared = dataclasses.replace(prepared, options=dataclasses.replace(prepared.options, keep_float=kept))
            tables = {"sensitivity": [one.row() for one in table], "search": trials}
            for name, rows in tables.items():
                report(name, rows)
        made = prepared.rounded()
        if plan.qat is not None:
            made, tables["training"] = train_rounded(
                made, _teacher(bundle, plan.teacher), evaluator, store=store, clips=parts.learning, spec=spec,
                features=features, options=plan.qat, report=lambda row: report("training", [row]),
            )  # fmt: skip
        return made, parts.calibration, tables, prepared.options


def _teacher(bundle: Bundle, path: Path | None) -> bytes:
    """The float graph that teaches; `InputError` when another bundle's answers are to other questions."""
    if path is None:
        return float_graph(bundle)
    teacher = Bundle.open(path)
    ours, theirs = bundle.manifest, teacher.manifest
    if (ours.input.sha256, ours.labels) != (theirs.input.sha256, theirs.labels):
        raise InputError("the teacher takes another input or has other labels", where=path,
                         expected=ours.input.sha256, got=theirs.input.sha256)  # fmt: skip
    return float_graph(teacher)


@dataclass(frozen=True)
class Sensitivity:
    """One node: `error` of the logits in percent when it alone is rounded (see `Verdict`)."""

    name: str
    kind: str
    error: float
    agreement: float

    def row(self) -> dict[str, Figure]:
        """For a table."""
        return {
            "node": self.name, "kind": self.kind, "error": round(self.error, 3), "agreement": round(self.agreement, 2),
        }  # fmt: skip


def evaluator_of(bundle: Bundle, store: ClipStore, parts: Parts, *, threads: int = 1) -> Evaluator:
    """The judging clips of a bundle's store, and what its FP32 graph says to them."""
    inputs = plain_batch(store, parts.judging, bundle.manifest.input, bundle.manifest.features)
    return Evaluator(float_graph(bundle), inputs, store.index.label[parts.judging], threads=threads)


def sensitivities(prepared: Prepared, evaluator: Evaluator) -> list[Sensitivity]:
    """Every node that is rounded, the most sensitive first."""
    model = read_graph(prepared.graph)
    fixed = float_nodes(model, keep_float=prepared.options.keep_float, float_head=prepared.options.float_head)
    nodes = [node for node in model.graph if node.op_type in WEIGHED and node.name not in fixed]
    found = []
    for node in nodes:
        others = tuple(str(other.name) for other in nodes if other is not node)
        verdict = evaluator(prepared.rounded(keep_float=(*prepared.options.keep_float, *others)))
        found.append(Sensitivity(str(node.name), node.op_type, verdict.error, verdict.agreement))
    return sorted(found, key=lambda one: -one.error)


def search_float(
    prepared: Prepared, evaluator: Evaluator, table: list[Sensitivity], *, budget: float,
    most_bytes: float | None = None,
) -> tuple[tuple[str, ...], list[dict[str, Figure]]]:  # fmt: skip
    """Nodes to keep in float: taken in the order of the table while the graph stays within `budget` times its latency
    and `most_bytes`, None for any number.

    A node that breaks a bound is left rounded. Errors may cancel, so of all that were kept on the way those are
    returned that the evaluator found nearest to float; with them a row a trial.
    """
    taken: tuple[str, ...] = prepared.options.keep_float
    whole, rows = prepared.rounded(), []
    best, kept = evaluator(whole), taken
    for one in table:
        tried = (*taken, one.name)
        graph = prepared.rounded(keep_float=tried)
        spent = milliseconds({"int8": whole, "tried": graph}, evaluator.inputs)
        times, verdict = spent["tried"] / spent["int8"], evaluator(graph)
        within = times <= budget and (most_bytes is None or len(graph) <= most_bytes)
        rows.append({"node": one.name, **verdict.row(), "times_as_slow": round(times, 3), "bytes": len(graph),
                     "within": within})  # fmt: skip
        taken = tried if within else taken
        if within and verdict.rank < best.rank:
            best, kept = verdict, tried
    return kept, rows


METHODS: tuple[dict[str, object], ...] = (
    {"method": "minmax"},
    {"method": "percentile", "percentile": 99.9},
    {"method": "percentile", "percentile": 99.99},
    {"method": "entropy"},
)


def compare_variants(
    graph: bytes, calibration: Inputs, evaluator: Evaluator, base: QuantizeOptions
) -> Iterator[dict[str, Figure]]:
    """A row a method of finding ranges; then equalisation before the one that the evaluator found nearest to float."""
    ranks: dict[QuantizeOptions, tuple[float, float]] = {}
    for method in METHODS:
        options = dataclasses.replace(base, **method, equalise=False)  # type: ignore[arg-type]
        verdict = evaluator(quantize_graph(graph, calibration, options))
        ranks[options] = verdict.rank
        yield {**in_words(options), **verdict.row()}
    if base.equalise is not False and relu_pairs(read_graph(graph)):
        options = dataclasses.replace(min(ranks, key=ranks.__getitem__), equalise=True)
        yield {**in_words(options), **evaluator(quantize_graph(graph, calibration, options)).row()}


@dataclass(frozen=True)
class Compared:
    """rows: a variant each, the best first. calibration, judging: clips. subjects: who judges."""

    rows: list[dict[str, Figure]]
    bundle: str
    calibration: int
    judging: int
    subjects: tuple[str, ...]


def compare_bundle(
    path: Path, store: ClipStore, options: QuantizeOptions, *, count: int, seed: int, run: Path | None = None,
    threads: int = 1, report: Callable[[dict[str, Figure]], None],
) -> Compared:  # fmt: skip
    """Every variant of a bundle's INT8 file, judged on people of the train split; the test split is not opened.

    count, seed, run: see `parts_of`.
    """
    bundle = Bundle.open(path)
    check_options(task_of_bundle(bundle.manifest), {"--compare": True}, where=path)
    check_store(bundle, store)
    store.verify()
    parts = parts_of(store, count=count, seed=seed, run=run)
    inputs = plain_batch(store, parts.calibration, bundle.manifest.input, bundle.manifest.features)
    evaluator, rows = evaluator_of(bundle, store, parts, threads=threads), []
    for row in compare_variants(float_graph(bundle), inputs, evaluator, options):
        report(row)
        rows.append(row)
    rows.sort(key=lambda row: (float(row["error"]), -float(row["agreement"])))
    return Compared(rows, bundle.manifest.name, len(parts.calibration), len(parts.judging), parts.subjects)


def markdown(compared: Compared) -> str:
    """The table with what it was measured on."""
    names = list(compared.rows[0])
    table = "\n".join(records.markdown_table(names, ([row[name] for name in names] for row in compared.rows)))
    return (
        f"# Variants of INT8, {compared.bundle}\n\n{table}\n\n"
        f"{compared.calibration} training clips calibrate; {compared.judging} of other people "
        f"({', '.join(compared.subjects) or 'the val split'}) judge. agreement: percent of clips with FP32's answer; "
        "error: root mean square of the logits' differences in percent of their spread; drop: points of top-1.\n"
    )


def in_words(options: QuantizeOptions) -> dict[str, Figure]:
    """A variant in words."""
    method = f"percentile {options.percentile:g}" if options.method == "percentile" else str(options.method)
    return {"method": method, "steps": "equalise" if options.equalise else "none"}
