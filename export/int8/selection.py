"""What is chosen on people who judge: nodes to keep in float within a latency budget, and variants side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.export.int8.calibration import Parts, parts_of
from last_edge.export.int8.qdq import float_nodes, read_graph
from last_edge.export.int8.quantize import Prepared, QuantizeOptions, quantize_graph, relu_pairs
from last_edge.export.int8.speed import milliseconds
from last_edge.export.proof.evaluate import check_store, checked_graph
from last_edge.export.proof.judge import Judge
from last_edge.inputs.features import Inputs

WEIGHED = ("Conv", "MatMul", "Add")


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
            "node": self.name,
            "kind": self.kind,
            "error": round(self.error, 3),
            "agreement": round(self.agreement, 2),
        }


def judge_of(bundle: Bundle, store: ClipStore, parts: Parts, *, threads: int = 1) -> Judge:
    """The judging clips of a bundle's store, and what its FP32 graph says to them."""
    inputs = plain_batch(store, parts.judging, bundle.manifest.input, bundle.manifest.features)
    return Judge(checked_graph(bundle, "fp32"), inputs, store.index.label[parts.judging], threads=threads)


def sensitivities(prepared: Prepared, judge: Judge) -> list[Sensitivity]:
    """Every node that is rounded, the most sensitive first."""
    model = read_graph(prepared.graph)
    fixed = float_nodes(model, keep_float=prepared.options.keep_float, float_head=prepared.options.float_head)
    nodes = [node for node in model.graph if node.op_type in WEIGHED and node.name not in fixed]
    found = []
    for node in nodes:
        others = tuple(str(other.name) for other in nodes if other is not node)
        verdict = judge(prepared.rounded(keep_float=(*prepared.options.keep_float, *others)))
        found.append(Sensitivity(str(node.name), node.op_type, verdict.error, verdict.agreement))
    return sorted(found, key=lambda one: -one.error)


def search_float(
    prepared: Prepared, judge: Judge, table: list[Sensitivity], inputs: Inputs, *, budget: float
) -> tuple[tuple[str, ...], list[dict[str, Figure]]]:
    """Nodes to keep in float: taken in the order of the table while the graph stays within `budget` times its latency.

    A node that breaks the budget is left rounded. Errors may cancel, so of all that were kept on the way those are
    returned that the judge found nearest to float; with them a row a trial.
    """
    taken: tuple[str, ...] = prepared.options.keep_float
    whole, rows = prepared.rounded(), []
    best, kept = judge(whole), taken
    for one in table:
        tried = (*taken, one.name)
        graph = prepared.rounded(keep_float=tried)
        spent = milliseconds({"int8": whole, "tried": graph}, inputs)
        times, verdict = spent["tried"] / spent["int8"], judge(graph)
        within = times <= budget
        rows.append({"node": one.name, **verdict.row(), "times_as_slow": round(times, 3), "within": within})
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
    graph: bytes, calibration: Inputs, judge: Judge, base: QuantizeOptions
) -> Iterator[dict[str, Figure]]:
    """A row a method of finding ranges; then equalisation before the one that the judge found nearest to float."""
    ranks: dict[QuantizeOptions, tuple[float, float]] = {}
    for method in METHODS:
        options = dataclasses.replace(base, **method, equalise=False)  # type: ignore[arg-type]
        verdict = judge(quantize_graph(graph, calibration, options))
        ranks[options] = verdict.rank
        yield {**told(options), **verdict.row()}
    if base.equalise is not False and relu_pairs(read_graph(graph)):
        options = dataclasses.replace(min(ranks, key=ranks.__getitem__), equalise=True)
        yield {**told(options), **judge(quantize_graph(graph, calibration, options)).row()}


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
    check_store(bundle, store)
    store.verify()
    parts = parts_of(store, count=count, seed=seed, run=run)
    inputs = plain_batch(store, parts.calibration, bundle.manifest.input, bundle.manifest.features)
    judge, rows = judge_of(bundle, store, parts, threads=threads), []
    for row in compare_variants(checked_graph(bundle, "fp32"), inputs, judge, options):
        report(row)
        rows.append(row)
    rows.sort(key=lambda row: (float(row["error"]), -float(row["agreement"])))
    return Compared(rows, bundle.manifest.name, len(parts.calibration), len(parts.judging), parts.subjects)


def markdown(compared: Compared) -> str:
    """The table with what it was measured on."""
    names = list(compared.rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in compared.rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return (
        f"# Variants of INT8, {compared.bundle}\n\n{table}\n\n"
        f"{compared.calibration} training clips calibrate; {compared.judging} of other people "
        f"({', '.join(compared.subjects) or 'the val split'}) judge. agreement: percent of clips with FP32's answer; "
        "error: root mean square of the logits' differences in percent of their spread; drop: points of top-1.\n"
    )


def told(options: QuantizeOptions) -> dict[str, Figure]:
    """A variant in words."""
    method = f"percentile {options.percentile:g}" if options.method == "percentile" else options.method
    return {"method": method, "steps": "equalise" if options.equalise else "none"}
