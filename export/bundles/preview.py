"""What exporting and quantising would do, found without writing or computing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from last_edge.bundle.manifest import CARD, GOLDEN, MANIFEST, WEIGHTS, model_file
from last_edge.bundle.reader import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips
from last_edge.errors import UsageError
from last_edge.export.bundles.accept import validation_clips
from last_edge.export.bundles.origin import provenance_of
from last_edge.export.int8.calibration import calibration_clips
from last_edge.export.int8.parts import parts_of
from last_edge.export.proof.evaluate import check_store
from last_edge.export.targets.targets import target_named
from last_edge.files import check_free
from last_edge.train.checkpoint import load_checkpoint

if TYPE_CHECKING:
    from last_edge.export.int8.quantize_bundle import Plan


def preview_export(
    run: Path, out: Path, *, store: ClipStore | None, split: str, weights: bool = False, force: bool
) -> dict[str, Any]:
    """The files that `export_run` would write, from what, measured on how many clips; raises as it would."""
    check_free(out, force=force)
    checkpoint = load_checkpoint(run)
    provenance_of(checkpoint)
    said: dict[str, Any] = {
        "would_write": str(out),
        "files": [model_file("fp32"), *([WEIGHTS] if weights else []), MANIFEST, GOLDEN, CARD],
        "model": checkpoint.card.name,
        "checkpoint": str(checkpoint.path),
        "clips_measured": 0,
        "clips_for_threshold": 0,
    }
    if store is None:
        return said
    check_fits(store, checkpoint.spec, checkpoint.labels)
    threshold = len(validation_clips(checkpoint, store))
    return {**said, "clips_measured": len(labelled_clips(store, split)), "clips_for_threshold": threshold}


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
