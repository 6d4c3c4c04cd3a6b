"""The end of `train --finetune`: the run as a bundle, with an INT8 file where it passes the recipe's limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from last_edge.bundle import Bundle, rewrite_bundle
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.int8.quantize import QuantizeOptions
from last_edge.export.int8.quantize_bundle import Plan, quantize_bundle
from last_edge.tasks.config import QuantizeConfig

BUNDLE = "bundle"


def finish_bundle(run: Path, store: Path, *, base: Path, limits: QuantizeConfig) -> dict[str, Any]:
    """Export a finished run to RUN/bundle and quantise it; returns path, licence and each precision's top-1.

    base: the bundle that it started from, whose licence goes on beside that of the clips. What the store tests is
    measured on its test split; without one INT8 is held against FP32 on the clips that were learnt, and FP32 alone is
    not measured.
    """
    opened, path = ClipStore.open(store), run / BUNDLE
    split = "test" if (opened.index.label[opened.select(split="test")] >= 0).any() else "train"
    export_run(run, path, store=opened if split == "test" else None, weights=True, force=True)
    bundle, start = Bundle.open(path), Bundle.open(base).manifest
    own = str(opened.about.get("licence", "")) or "unknown"
    licence = f"clips: {own}; weights started from {start.name}: {start.licence or 'unknown'}"
    manifest = rewrite_bundle(bundle, dataclasses.replace(bundle.manifest, licence=licence))
    int8 = {}
    plan = Plan(options=QuantizeOptions.from_recipe(limits), count=limits.clips, gates=limits)
    try:
        manifest = quantize_bundle(path, opened, plan, split=split).manifest
    except GateError as error:
        int8 = {"int8": f"none: {error.got or error.what}"}
    top1 = {name: f"top-1 {figures['top1']}% of {figures['n']} clips" for name, figures in manifest.metrics.items()}
    return {"bundle": str(path), "licence": licence, "measured_on": split, **int8, **top1}
