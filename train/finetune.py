"""`train --finetune BUNDLE`: what bundle and store decide about a training that starts from the bundle's weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import WEIGHTS, Manifest
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, UsageError

RECIPE = "finetune"
# Clips seen in a training, the repeated ones counted: about two minutes of `last_lite_nano` on one core.
SEEN, FEWEST_EPOCHS, MOST_EPOCHS = 6000, 10, 100
RECORD = "last-edge record STORE --bundle {bundle}, or last-edge data convert {store} --bundle {bundle} --out STORE"


def finetune_values(bundle: Path, store: Path) -> dict[str, object]:
    """Recipe values: model, its options and input as the bundle's, its weights as the start, epochs for the store.

    Raises `InputError` for a bundle without float weights, a store of other points or one without two classes.
    """
    opened, clips = Bundle.open(bundle).recogniser(), ClipStore.open(store)
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
