"""What a teaching starts from: a bundle with float weights for these points, or nothing; and the clips it learns."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import WEIGHTS, translates
from last_edge.bundle.zoo import find_bundle, zoo
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.data.background import background_clips, background_layouts, signing_clips, signing_layouts
from last_edge.errors import InputError, UsageError
from last_edge.models.hand_features import shows_hands, shows_signer
from last_edge.names import is_background
from last_edge.runtime.recognise.adapt import HandShape
from last_edge.runtime.record.target import AXES, Target, Wanted, converted
from last_edge.skeleton import Layout, SkeletonClip
from last_edge.tasks.config import Recipe
from last_edge.tools.experiments.finetune import finetune_values
from last_edge.train.recipe import load_recipe, set_values

SCRATCH = "none"
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 1200, 30, 200
MOST_BACKGROUND, LEAST_BACKGROUND = 210, 60
SOLVED_BACKGROUND, SIGNING = 300, 300
"""Clips without a gesture, and of hands that sign, where no training becomes longer by them."""
NOTHING = "nothing"


def solved_by(layout: Layout) -> str:
    """The recipe of a model that follows from the takes of a layout without a training; "" where there is none."""
    return "teach_hand" if layout.one_hand else "teach_signs" if shows_signer(layout) else ""


def base_for(layout: Layout, named: str) -> Path | None:
    """The bundle that a teaching on points of a layout starts from: the one that is named, else the zoo's for such
    points that has float weights; None for none, or where there is no such.

    A hand alone, and a body with both hands, start from none unless one is named: a model that follows from the takes
    at once is more accurate (docs/results/own_gestures.md). Another body starts from a bundle of the same joints.
    `InputError` for a named bundle without float weights, or one that answers at every frame.
    """
    if named == SCRATCH or (solved_by(layout) and not named):
        return None
    if named:
        path = find_bundle(named)
        bundle = Bundle.open(path).recogniser()
        if bundle.manifest.stream is not None:
            hint = "--base none, or a base that takes clips; last-edge train --recipe shrec21_stream learns recordings"
            what = "takes teach a bundle that takes clips; this one answers at every frame"
            raise InputError(what, where=path, expected="a bundle without a state", hint=hint)
        if WEIGHTS not in bundle.contents:
            hint = "--base none, or last-edge export RUN --out BUNDLE --weights"
            raise InputError("the bundle holds no float weights to start from", where=path, expected=WEIGHTS, hint=hint)
        return path
    found = []
    for path in zoo().values():
        bundle = Bundle.open(path, verify_hashes=False)
        fits = bundle.manifest.input.layout.names == layout.names
        of_clips = not translates(bundle.manifest) and bundle.manifest.stream is None
        if fits and of_clips and WEIGHTS in bundle.contents:
            found.append((len(bundle.manifest.labels), path.name, path))
    return max(found)[2] if found else None


def fitted_clips(store: ClipStore, base: Path | None, *, hand: str) -> tuple[list[SkeletonClip], str]:
    """The takes as what a base takes (as they are without one), and the hand they show, where that could be told.

    A left hand before a base that knows right ones is mirrored, as `run` does it.
    """
    clips = [store.clip(number) for number in range(len(store))]
    if base is None:
        return clips, ""
    wanted = Wanted.of(base)
    if hand == "first" and store.layout.one_hand and wanted.hands == "right":
        hand = hand_shown(clips) or hand
    target = Target(store.layout, store.units, wanted=wanted, hand=hand)
    made = [converted(clip, target, labels=store.labels) for clip in clips]
    return [clip for clip in made if clip.confidence.any()], hand if hand in ("left", "right") else ""


def hand_shown(clips: list[SkeletonClip]) -> str:
    """`left` or `right` by the shape of the hand in all frames; "" where they are too few or do not agree."""
    if clips[0].coords.shape[-1] < 3 or "wrist" not in clips[0].layout.names:
        return ""
    shape = HandShape(clips[0].layout)
    frames = (points for clip in clips for points in clip.coords[0])
    return next(filter(None, map(shape.add, frames)), "")


def background_counts(clips: Sequence[SkeletonClip], base: Path | None) -> tuple[int, int]:
    """How many clips in which nobody makes a gesture are learnt beside takes, and how many of hands that sign: as many
    (60 to 210) and none; 300 of what is learnt without a training, and of a hand alone as many that sign."""
    layout = clips[0].layout
    if base is None and solved_by(layout):
        return SOLVED_BACKGROUND, SIGNING if layout.name in signing_layouts() else 0
    return int(np.clip(len(clips), LEAST_BACKGROUND, MOST_BACKGROUND)), 0


def write_lesson(
    clips: list[SkeletonClip], out: Path, *, labels: tuple[str, ...], licence: str, count: int, signing: int = 0
) -> ClipStore:
    """The store that is learnt: takes, and `count` clips in which nobody makes a gesture and so many of hands that sign
    words, as one class.

    Where no such clips are made for the layout the recorded ones, if any, are alone.
    """
    first = clips[0]
    quiet = next((label for label in labels if is_background(label)), NOTHING)
    others: list[SkeletonClip] = []
    if first.layout.name in background_layouts():
        how: dict[str, Any] = {"units": first.units, "channels": first.coords.shape[-1]}
        found = background_clips(first.layout, count=count, **how)
        found += signing_clips(first.layout, count=signing, **how) if signing else []
        others = [replace(clip, label=quiet, split="train") for clip in found]
    names = labels if not others or quiet in labels else (*labels, quiet)
    about = {
        "dataset": "taught",
        "title": "takes and shipped background",
        "licence": licence,
        "axes": AXES[first.units],
    }
    with writing_store(out, layout=first.layout, units=first.units, labels=names, about=about, force=True) as writer:
        for clip in (*clips, *others):
            writer.add(clip.with_bodies(len(first.coords)))
    return ClipStore.open(out)


def shows_nothing(store: ClipStore) -> NDArray[np.bool_]:
    """(N,) whether a clip's label means that nothing is shown."""
    return np.array([is_background(store.labels[label]) for label in store.index.label.tolist()], np.bool_)


def recipe_for(store: ClipStore, base: Path | None, *, epochs: int | None, seed: int) -> Recipe:
    """The recipe of a lesson: `finetune` on a base, else `teach`; unless said, epochs for about 1,200 steps."""
    values: dict[str, object] = {}
    if base is None and (solved := solved_by(store.layout)):
        if epochs:
            hint = "--base BUNDLE, one with float weights, is trained"
            what = f"takes of {store.layout.name} without a base take no epochs"
            raise UsageError(what, got=f"--epochs {epochs}", hint=hint)
        return load_recipe(solved, overrides=set_values({"seed": seed}.items()))
    if base is not None:
        values = finetune_values(base, store.path)
        values.pop("training.epochs")
    elif len(store.layout.hands) == store.layout.joints:
        values |= {"model.name": "last_lite_nano", "input.centre": "first", "input.scale": "limb"}
    elif shows_hands(store.layout):
        values |= {"model.options.fingers": "true"}
    name = "teach" if base is None else "finetune"
    size = load_recipe(name).training.batch_size
    usual = int(np.clip(round(STEPS * size / len(store)), FEWEST_EPOCHS, MOST_EPOCHS))
    values |= {"training.epochs": epochs or usual, "seed": seed, "validation.select": "last"}
    return load_recipe(name, overrides=set_values(values.items()))
