"""The end of `train --finetune`: the run as a bundle, with an INT8 file where it passes the recipe's limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from last_edge.errors import GateError

if TYPE_CHECKING:
    from last_edge.bundle import Manifest
    from last_edge.tasks.config import QuantizeConfig

BUNDLE = "bundle"


def finish_bundle(run: Path, store: Path, *, base: Path, limits: QuantizeConfig) -> dict[str, Any]:
    """Export a finished run to RUN/bundle and quantise it; says where it is, its licence and what INT8 came to.

    base: the bundle that it started from, whose licence goes on. What the store tests is measured on its test split;
    without one INT8 is held against FP32 on the clips that were learnt, and FP32 alone is not measured.
    """
    from last_edge.bundle import Bundle
    from last_edge.clips.store import ClipStore
    from last_edge.export.bundles.bundle_writer import export_run
    from last_edge.export.int8.quantize import QuantizeOptions
    from last_edge.export.int8.quantize_bundle import Plan, quantize_bundle

    opened, path = ClipStore.open(store), run / BUNDLE
    split = "test" if (opened.index.label[opened.select(split="test")] >= 0).any() else "train"
    export_run(run, path, store=opened if split == "test" else None, weights=True, force=True)
    manifest = _with_licence(path, Bundle.open(base).manifest, str(opened.about.get("licence", "")))
    said: dict[str, Any] = {"bundle": str(path), "licence": manifest.licence, "measured_on": split}
    try:
        made = quantize_bundle(
            path,
            opened,
            Plan(options=QuantizeOptions.from_recipe(limits), count=limits.clips, gates=limits),
            split=split,
        )
    except GateError as error:
        return {**said, "int8": f"none: {error.got or error.what}", **said_of(manifest)}
    return {**said, **said_of(made.manifest)}


def said_of(manifest: Manifest) -> dict[str, Any]:
    """Top-1 by precision, where it was measured."""
    return {precision: f"top-1 {figures['top1']}% of {figures['n']} clips"
            for precision, figures in manifest.metrics.items()}  # fmt: skip


def _with_licence(path: Path, base: Manifest, own: str) -> Manifest:
    """The bundle's manifest with both licences: of the clips, and of the weights that it started from."""
    from last_edge.bundle import Bundle, rewrite_bundle

    bundle = Bundle.open(path)
    licence = f"clips: {own or 'unknown'}; weights started from {base.name}: {base.licence or 'unknown'}"
    return rewrite_bundle(bundle, dataclasses.replace(bundle.manifest, licence=licence))
