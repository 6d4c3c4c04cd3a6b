"""What exporting would do, found without writing or computing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from last_edge.bundle.manifest import CARD, GOLDEN, MANIFEST, WEIGHTS, model_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips
from last_edge.export.bundles.accept import validation_clips
from last_edge.export.bundles.origin import provenance_of
from last_edge.files import check_free
from last_edge.train.checkpoint import load_checkpoint


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
