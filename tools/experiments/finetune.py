"""The end of `train --bundle`, `--finetune` and `teach`: a bundle of the run, INT8 where it passes the limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from last_edge.bundle import Bundle, rewrite_bundle
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.quantize import QuantizeOptions
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.tasks.config import QuantizeConfig

BUNDLE = "bundle"


def finish_bundle(
    run: Path, store: Path, *, base: Path | None, limits: QuantizeConfig, out: Path | None = None, hands: str = "",
    **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """Export a finished run to `out`, usually RUN/bundle, and quantise it; path, licence and each precision's top-1.

    base: the bundle that it started from, whose licence goes on beside that of the clips. What the store tests is
    measured on its test split; without one INT8 is held to FP32 on the clips that were learnt, and neither has figures:
    what a model says of clips it learnt is no result. changes: further fields of the manifest.
    """
    opened, path = ClipStore.open(store), out or run / BUNDLE
    split = "test" if (opened.index.label[opened.select(split="test")] >= 0).any() else "train"
    export_run(run, path, store=opened if split == "test" else None, weights=True, hands=hands, force=True)
    bundle, start = Bundle.open(path), None if base is None else Bundle.open(base).manifest
    own = str(opened.about.get("licence", "")) or "unknown"
    licence = f"clips: {own}"
    if start is not None:
        licence += f"; weights started from {start.name}: {start.licence or 'unknown'}"
    axes = str(opened.about.get("axes") or bundle.manifest.axes)
    manifest = rewrite_bundle(bundle, dataclasses.replace(bundle.manifest, licence=licence, axes=axes, **changes))
    int8 = {}
    plan = Plan(options=QuantizeOptions.from_recipe(limits), count=limits.clips, gates=limits)
    try:
        manifest = quantize_bundle(path, opened, plan, split=split).manifest
    except GateError as error:
        int8 = {"int8": f"none: {error.got or error.what}"}
    if split != "test":
        bundle = Bundle.open(path)
        manifest = rewrite_bundle(bundle, dataclasses.replace(bundle.manifest, metrics={}))
    top1 = {name: f"top-1 {figures['top1']}% of {figures['n']} clips" for name, figures in manifest.metrics.items()}
    measured = (
        {"measured_on": split} if split == "test" else {"measured_on": "nothing: last-edge teach holds takes out"}
    )
    return {"bundle": str(path), "licence": licence, **measured, **int8, **top1}
