"""What exporting and quantising would do, found without writing or computing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from last_edge.bundle.manifest import CARD, GOLDEN, MANIFEST, model_file
from last_edge.bundle.reader import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips
from last_edge.errors import UsageError
from last_edge.export.accept import validation_clips
from last_edge.export.calibration import calibration_clips
from last_edge.export.evaluate import check_store
from last_edge.export.origin import provenance_of
from last_edge.files import check_free
from last_edge.train.checkpoint import load_checkpoint


def preview_export(run: Path, out: Path, *, store: ClipStore | None, split: str, force: bool) -> dict[str, Any]:
    """The files that `export_run` would write, from what, measured on how many clips; raises as it would."""
    check_free(out, force=force)
    checkpoint = load_checkpoint(run)
    provenance_of(checkpoint)
    said: dict[str, Any] = {
        "would_write": str(out),
        "files": [model_file("fp32"), MANIFEST, GOLDEN, CARD],
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


def preview_quantize(path: Path, store: ClipStore, *, count: int, seed: int, split: str, force: bool) -> dict[str, Any]:
    """The files that `quantize_bundle` would write, and from how many clips; raises as it would."""
    bundle = open_for_int8(path, force=force)
    check_store(bundle, store)
    return {
        "would_write": str(path),
        "files": [model_file("int8"), MANIFEST, GOLDEN, CARD],
        "model": bundle.manifest.model.name,
        "clips_for_calibration": len(calibration_clips(store, count=count, seed=seed)),
        "clips_measured": len(labelled_clips(store, split)),
    }


def open_for_int8(path: Path, *, force: bool) -> Bundle:
    """The bundle, when it may get an INT8 file: `UsageError` when it has one and not `force`."""
    bundle = Bundle.open(path)
    if "int8" in bundle.precisions and not force:
        raise UsageError("the bundle has an INT8 file", where=path, hint="--force to make it anew")
    return bundle
