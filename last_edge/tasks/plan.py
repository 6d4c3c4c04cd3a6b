"""Whose clips train, validate and test: decided here for every task, before a run starts."""

import dataclasses
import math
import shlex
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.errors import InputError
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import InputConfig, Recipe, ValidationConfig

Clips = NDArray[np.int64]
CALIBRATION_SPLIT = "train"
"""Whose clips the ranges of an 8-bit file come from."""


@dataclass(frozen=True)
class Plan:
    """Clip numbers of each part. Validation is a subject-disjoint part of train; test is only for the end."""

    store: ClipStore
    spec: InputSpec
    train: Clips
    val: Clips
    test: Clips
    val_subjects: tuple[str, ...]


def input_spec(store: ClipStore, config: InputConfig) -> InputSpec:
    """The `InputSpec` of a recipe on a store's layout and axes."""
    channels = int(store.frames.shape[-1])
    return InputSpec(
        store.layout, config.frames, channels, config.bodies,
        centre=config.centre, scale=config.scale, streams=tuple(config.streams),  # type: ignore[arg-type]
    )  # fmt: skip


def make_plan(store: ClipStore, recipe: Recipe) -> Plan:
    """Split the labelled clips of a store for a recipe; `InputError` when there is nothing to train on."""
    train, own, test = _chosen(store, store.index.label >= 0)
    learning, val, held = part_by_people(store, train, own, recipe)
    if not len(learning):
        what, expected, got = "no labelled training clips", "split 'train'", sorted(set(store.index.split.tolist()))
        if not len(store.labels):
            name = f"--store {shlex.quote(str(store.path))} --model {recipe.model.name} --out RUN"
            hint = f"last-edge pretrain maskclr {name} learns without labels; labels come from folders or a table"
            raise InputError(what, where=store.path, expected="clips with labels", got="none has one", hint=hint)
        raise InputError(what, where=store.path, expected=expected, got=got, hint=_to_split(store))
    spec = input_spec(store, recipe.input)
    check_points(store, spec)
    return Plan(store, spec, share_of_labels(store, learning, recipe), val, test, held)


def _to_split(store: ClipStore) -> str:
    """The command that gives a store a train and a test split: by a person where several are known, else by clips."""
    people = sorted(set(store.index.subject.astype(str).tolist()) - {""})
    how = f"--leave-out {shlex.quote(people[-1])}" if len(people) > 1 else "--test-share 0.2"
    if store.about.get("dataset") == "extracted":
        return f"last-edge data extract VIDEOS --out {store.path.parent} {how}, as it was made"
    if store.about.get("dataset") == "videos":
        return f"last-edge data prepare videos SOURCE --out {store.path} --force {how}, as it was made"
    return f"last-edge data prepare NAME SOURCE --out {store.path} --force {how}, as it was made"


def translation_plan(store: ClipStore, recipe: Recipe) -> Plan:
    """Split the clips with a text, of which `translate.subset` train; `InputError` when there are none."""
    train, own, test = _chosen(store, store.index.text != "")
    learning, val, held = part_by_people(store, train, own, recipe)
    if not len(learning):
        hint = "last-edge data compose, or data prepare how2sign | phoenix | pose_tsv"
        expected = "clips of split 'train' with text"
        raise InputError("no training sentences", where=store.path, expected=expected, hint=hint)
    spec = dataclasses.replace(input_spec(store, recipe.input), resample="pad")
    check_points(store, spec)
    count = recipe.translate.subset
    if 0 < count < len(learning):
        learning = np.sort(np.random.default_rng(recipe.seed).choice(learning, count, replace=False))
    return Plan(store, spec, learning, val, test, held)


def stream_plan(store: ClipStore, recipe: Recipe) -> Plan:
    """Split the long recordings of a store; validation is whole people, who may stand for blocks of a recording.

    `InputError` when there are none to train on.
    """
    recordings = np.zeros(len(store), bool)
    recordings[store.recordings()] = True
    train, own, test = _chosen(store, recordings)
    learning, val, held = part_by_people(store, train, own, recipe)
    if not len(learning):
        hint = "last-edge data prepare shrec21 SOURCE --out STORE, or npz with frame_labels, or videos with --spans"
        raise InputError(
            "no long recordings to train on", where=store.path, expected="clips of split 'train' with annotated spans",
            hint=hint,
        )  # fmt: skip
    spec = dataclasses.replace(input_spec(store, recipe.input), resample="pad")
    check_points(store, spec)
    return Plan(store, spec, learning, val, test, held)


def pretrain_plan(store: ClipStore, recipe: Recipe) -> Plan:
    """All clips that are neither of the test split nor validation's, whatever their labels; nobody tests.

    Validation is the store's own, or the training subjects that a training by this recipe holds out too. `InputError`
    when nothing is left to learn from.
    """
    train = np.flatnonzero(np.isin(store.index.split.astype(str), ("train", ""))).astype(np.int64)
    learning, val, held = part_by_people(store, train, store.select(split="val"), recipe)
    if not len(learning):
        splits = sorted(set(store.index.split.tolist()))
        raise InputError("no clips to pre-train on", where=store.path, expected="split 'train' or none", got=splits)
    spec = input_spec(store, recipe.input)
    check_points(store, spec)
    return Plan(store, spec, learning, val, np.zeros(0, np.int64), held)


def _chosen(store: ClipStore, wanted: NDArray[np.bool_]) -> list[Clips]:
    """The wanted clips (all,) of the train, val and test split."""
    return [clips[wanted[clips]] for clips in (store.select(split=split) for split in ("train", "val", "test"))]


def part_by_people(
    store: ClipStore, train: Clips, own: Clips, recipe: Recipe, *, held: tuple[str, ...] | None = None
) -> tuple[Clips, Clips, tuple[str, ...]]:
    """Training clips that learn, clips that validate or judge, and who of the training people these are of.

    own: the store's own validation clips. They validate alone where there are any and the recipe names nobody; else
    training people are held out beside them. held: them, decided before, instead.
    """
    if held is None:
        held = () if len(own) and not recipe.validation.subjects else held_out(store, train, recipe)
    inside = np.isin(store.index.subject[train].astype(str), held)
    return train[~inside], np.concatenate([own, train[inside]]), held


def held_out(store: ClipStore, train: Clips, recipe: Recipe) -> tuple[str, ...]:
    """Training subjects kept for validation, in order."""
    known = sorted(set(store.index.subject[train].astype(str).tolist()))
    config = recipe.validation
    unknown = [name for name in config.subjects if name not in known]
    if unknown:
        raise InputError("validation subjects are not in train", where=store.path, expected=known, got=unknown)
    return tuple(config.subjects) or _draw(known, config, seed=recipe.seed)


def _draw(known: list[str], config: ValidationConfig, *, seed: int) -> tuple[str, ...]:
    if config.fraction == 0 or len(known) < 2:
        return ()
    count = min(max(1, math.floor(config.fraction * len(known) + 0.5)), len(known) - 1)
    return tuple(sorted(np.random.default_rng(seed).choice(known, count, replace=False).tolist()))


def share_of_labels(store: ClipStore, clips: Clips, recipe: Recipe) -> Clips:
    """`training.label_share` of the clips of each class, drawn by `seed`, at least one of each; in the order given."""
    share, labels = recipe.training.label_share, store.index.label[clips]
    if share == 1:
        return clips
    kept = np.zeros(len(clips), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        count = max(1, math.floor(share * len(own) + 0.5))
        kept[np.random.default_rng([recipe.seed, int(label)]).choice(own, count, replace=False)] = True
    return clips[kept]


def clip_ids(store: ClipStore, clips: NDArray[np.int64]) -> tuple[str, ...]:
    """Names of clips for the record: the source's id, else the number in the store."""
    return tuple(str(store.index.source_id[clip]) or f"#{clip}" for clip in clips)
