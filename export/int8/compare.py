"""Variants of quantisation side by side, judged on people of the train split that calibrated none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.export.int8.equalise import relu_pairs
from last_edge.export.int8.parts import parts_of
from last_edge.export.int8.quantize import QuantizeOptions, quantize_graph
from last_edge.export.int8.quantize_bundle import Plan, judge_of
from last_edge.export.proof.evaluate import check_store, checked_graph
from last_edge.export.proof.judge import Judge
from last_edge.inputs.features import Inputs

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
    if base.equalise is not False and relu_pairs(onnx.load_from_string(graph)):
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
    path: Path, store: ClipStore, plan: Plan, *, threads: int = 1, report: Callable[[dict[str, Figure]], None]
) -> Compared:
    """Every variant of a bundle's INT8 file, judged on people of the train split; the test split is not opened."""
    bundle = Bundle.open(path)
    check_store(bundle, store)
    store.verify()
    parts = parts_of(store, count=plan.count, seed=plan.seed, run=plan.run)
    inputs = plain_batch(store, parts.calibration, bundle.manifest.input, bundle.manifest.features)
    judge, rows = judge_of(bundle, store, parts, threads=threads), []
    for row in compare_variants(checked_graph(bundle, "fp32"), inputs, judge, plan.options):
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
