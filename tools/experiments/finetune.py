"""`train --finetune BUNDLE`: what bundle and store decide about a training from its weights.

And the end of `train --bundle`, `--finetune` and `teach`: a bundle of the run, INT8 where it passes the limits.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from last_edge.bundle import Bundle, rewrite_bundle
from last_edge.bundle.manifest import WEIGHTS, Manifest
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, InputError, UsageError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.quantize import QuantizeOptions
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.tasks.config import QuantizeConfig

RECIPE = "finetune"
# Clips seen in a training, the repeated ones counted: about two minutes of `last_lite_nano` on one core.
SEEN, FEWEST_EPOCHS, MOST_EPOCHS = 6000, 10, 100
RECORD = "last-edge record STORE --bundle {bundle}, or last-edge data convert {store} --bundle {bundle} --out STORE"


def finetune_values(bundle: Path, store: Path) -> dict[str, object]:
    """Recipe values: model, its options and input as the bundle's, its weights as the start, epochs for the store.

    Raises `InputError` for a bundle without float weights, a store of other points or one without two classes.
    """
    opened = Bundle.open(bundle).recogniser()
    if opened.manifest.stream is not None:
        own = opened.manifest.model.name
        hint = f"last-edge train --init {bundle} --model {own} --recipe shrec21_stream --store STORE --out RUN"
        raise InputError("a network for streams is no classifier of clips", where=bundle, hint=hint)
    clips = ClipStore.open(store)
    if WEIGHTS not in opened.contents:
        hint = "last-edge export RUN --out BUNDLE --weights"
        raise InputError("the bundle holds no float weights to start from", where=bundle, expected=WEIGHTS, hint=hint)
    check_same_points(opened.manifest, clips, bundle=bundle)
    model, spec = opened.manifest.model, opened.manifest.input
    return {
        "model.name": model.name,
        **{f"model.options.{name}": json.dumps(value) for name, value in model.kwargs.items()},
        "input.frames": spec.frames,
        "input.centre": spec.centre,
        "input.scale": spec.scale,
        "input.streams": json.dumps(list(spec.streams)),
        "input.bodies": spec.bodies,
        "training.init": json.dumps(str(bundle)),
        "training.epochs": epochs_for(clips),
    }


def check_same_points(manifest: Manifest, store: ClipStore, *, bundle: Path) -> None:
    """`InputError` when a store's joints, axes, bodies or units are not those that a bundle takes."""
    spec, (_, bodies, _, axes) = manifest.input, store.frames.shape
    expected = {"layout": spec.layout.name, "axes": spec.channels, "units": manifest.units}
    got = {"layout": store.layout.name, "axes": axes, "units": store.units}
    if store.layout != spec.layout or got != expected or bodies < spec.bodies:
        hint = RECORD.format(bundle=bundle, store=store.path)
        raise InputError("the store holds other points than the bundle takes", where=store.path, hint=hint,
                         expected=_words(expected, spec.bodies), got=_words(got, bodies))  # fmt: skip


def epochs_for(store: ClipStore) -> int:
    """Epochs in which about 6,000 clips are seen, within 10 and 100; `UsageError` with less than two classes."""
    labels = store.index.label[store.select(split="train")]
    labels = labels[labels >= 0]
    if (classes := len(np.unique(labels))) < 2:
        hint = f"last-edge record {store.path} --label NAME"
        raise UsageError("there is nothing to tell apart", where=store.path, hint=hint,
                         expected="training clips of two classes", got=f"{len(labels)} clips of {classes}")  # fmt: skip
    return int(np.clip(round(SEEN / len(labels)), FEWEST_EPOCHS, MOST_EPOCHS))


def _words(facts: dict[str, object], bodies: int) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items()) + f", bodies {bodies}"


BUNDLE = "bundle"


def finish_bundle(
    run: Path, store: Path, *, base: Path | None, limits: QuantizeConfig, out: Path | None = None, hands: str = "",
    weights: bool = True, **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """Export a finished run to `out`, usually RUN/bundle, and quantise it; path, licence and each precision's top-1.

    base: the bundle that it started from, whose licence goes on beside that of the clips. What the store tests is
    measured on its test split; without one INT8 is held to FP32 on the clips that were learnt, and neither has figures:
    what a model says of clips it learnt is no result. weights: with the float weights. changes: further fields of the
    manifest.
    """
    opened, path = ClipStore.open(store), out or run / BUNDLE
    split = "test" if (opened.index.label[opened.select(split="test")] >= 0).any() else "train"
    export_run(run, path, store=opened if split == "test" else None, weights=weights, hands=hands, force=True)
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
