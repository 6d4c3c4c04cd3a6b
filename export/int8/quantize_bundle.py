"""`last-edge quantize`: a bundle gains 8-bit files, if they pass every gate."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.bundle.manifest import CARD, GOLDEN, MANIFEST, Manifest
from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError
from last_edge.export.int8.plan import Plan, Report, Rounding, Row, draft
from last_edge.export.int8.quantize import QuantizeOptions
from last_edge.export.int8.recogniser_int8 import RecogniserRounding
from last_edge.export.int8.stream_int8 import StreamRounding
from last_edge.export.int8.translation_int8 import TranslatorRounding
from last_edge.export.proof.evaluate import check_store, deployed, summarise
from last_edge.export.proof.same import LIMIT, parity_rows, tolerance
from last_edge.tasks.plan import clip_ids
from last_edge.tasks.registry import task_of_bundle
from last_edge.tasks.task import Gate, check_options

ROUNDINGS: dict[str, type[Rounding]] = {
    "recognition": RecogniserRounding,
    "translation": TranslatorRounding,
    "streaming": StreamRounding,
}
"""By the name of a bundle's task."""


@dataclass(frozen=True)
class Quantised:
    """manifest: as written. gates: as they stood. tables: what the search and the training went through, by name."""

    manifest: Manifest
    gates: list[Gate]
    tables: dict[str, list[Row]]


def quantize_bundle(
    path: Path, store: ClipStore, plan: Plan | None = None, *, split: str = "test", threads: int = 1,
    force: bool = False, report: Report = lambda name, rows: None,
) -> Quantised:  # fmt: skip
    """Add 8-bit files to a bundle in place, and measure them beside FP32 on `split` of the store.

    A recogniser or stream gets a graph; a translator an encoder and, if it passes too, a decoder. Nothing of that split
    chooses anything: ranges and weights come from training clips, choices from people of the training split that are
    kept apart for them, or a store's val split. threads: of the measuring; the files do not depend on it.
    Raises `GateError` with the table, and leaves the bundle as it was, when the files do not pass; `UsageError` when
    the bundle has them and not `force`, or the plan asks what such a bundle has no use for; `InputError` when the store
    is damaged or not of the bundle's kind.
    """
    plan = plan or Plan()
    bundle, rounding = _open(path, store, plan, force=force)
    store.verify()
    store = rounding.store
    clips = task_of_bundle(bundle.manifest).clips(store, split)
    made, precision = rounding.make(clips, threads=threads, report=report), rounding.precision
    golden, now = bundle.golden, draft(bundle, made.files, without=rounding.names)
    logits = {**golden.logits, precision: deployed(now, precision).logits(golden.inputs)}
    manifest, pair = bundle.manifest, f"fp32:{precision}"
    rows = (*parity_rows(logits, on="golden"), *parity_rows(made.answers, on=split))
    figures = {
        name: summarise(bundle.manifest, own, store, clips, split=split, events=made.events.get(name, {}))
        for name, own in made.answers.items()
    }
    # Engines and tuned settings of the former files are theirs alone.
    stale = {name for name, built in manifest.engines.items() if built.get("source") in rounding.names}
    parity = [row for row in manifest.parity if row["pair"] != pair] + [row for row in rows if row["pair"] == pair]
    manifest = dataclasses.replace(
        manifest,
        files={name: digest for name, digest in manifest.files.items() if name not in {*stale, *rounding.names}},
        engines={name: built for name, built in manifest.engines.items() if name not in stale},
        tuned={name: found for name, found in manifest.tuned.items() if name != precision},
        tolerances={**manifest.tolerances, precision: tolerance(precision, logits[precision])},
        metrics={**manifest.metrics, **figures},
        parity=tuple(parity),
    )
    if precision == "int8" or not manifest.calibration:
        limit = {} if plan.gates is None else {LIMIT: plan.gates.min_agreement}
        calibration = {**_method(made.options, plan), "seed": plan.seed, "store_sha256": store.sha256, **limit}
        ids = clip_ids(store, made.clips)
        manifest = dataclasses.replace(manifest, calibration=calibration, calibration_ids=ids)
    files = {**made.files, GOLDEN: dataclasses.replace(golden, logits=logits).to_bytes()}
    return Quantised(rewrite_bundle(bundle, manifest, files=files), made.gates, made.tables)


def preview_quantize(path: Path, store: ClipStore, plan: Plan, *, split: str, force: bool) -> dict[str, Any]:
    """The files that `quantize_bundle` would write, all but the first if they pass, and from how many clips; raises as
    it would.
    """
    bundle, rounding = _open(path, store, plan, force=force)
    return {
        "would_write": str(path),
        "files": [*rounding.names, MANIFEST, GOLDEN, CARD],
        "model": bundle.manifest.model.name,
        **rounding.foreseen(),
        "clips_measured": len(task_of_bundle(bundle.manifest).clips(store, split)),
    }


def _open(path: Path, store: ClipStore, plan: Plan, *, force: bool) -> tuple[Bundle, Rounding]:
    """The bundle, and how it gets its files by this plan from this store."""
    bundle = Bundle.open(path)
    task = task_of_bundle(bundle.manifest)
    asked = {
        "--qat": plan.qat is not None,
        "--keep-float auto": plan.search_budget is not None,
        "--target": plan.options.target != QuantizeOptions().target,
        "quantize.equalise": plan.options.equalise is True,
    }
    check_options(task, asked, where=path)
    rounding = ROUNDINGS[task.name](bundle, check_store(bundle, store), plan)
    if rounding.names[0] in bundle.manifest.files and not force:
        what = f"the bundle has an INT8 file, {rounding.names[0]}"
        raise UsageError(what, where=path, hint="--force to make it anew")
    return bundle, rounding


def _method(options: QuantizeOptions, plan: Plan) -> Row:
    """Options as the manifest's figures; those that had no say are left out."""
    said: Row = {"method": str(options.method), "float_head": str(options.float_head).lower()}
    if options.method == "percentile":
        said["percentile"] = options.percentile
    if options.equalise:
        said["steps"] = "equalise"
    if options.keep_float:
        said["keep_float"] = " ".join(options.keep_float)
    if plan.qat is not None:
        said["qat_epochs"] = plan.qat.epochs
    return said
