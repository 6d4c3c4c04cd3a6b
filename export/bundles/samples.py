"""Typical motions of a bundle's classes, each the mean of many people's clips of a store, so that it is nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.bundle.manifest import Manifest
from last_edge.bundle.samples import PICTURE, SAMPLES, Samples, draw
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_as
from last_edge.errors import InputError, UsageError
from last_edge.export.proof.evaluate import check_store
from last_edge.inputs import InputSpec
from last_edge.inputs.spec import Points, fit_window
from last_edge.names import is_background
from last_edge.skeleton.layout import limb_length

FEWEST_PEOPLE = 2


def typical_motions(store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> Samples:
    """Of each class that a store's training split shows, background aside, the mean of its clips of all people.

    Clips are brought to the model's window, to where they begin and to one size, the median's, and averaged joint by
    joint. A class that fewer than two people show is left out: its mean would be somebody's recording.
    """
    index, sizes = (
        store.index,
        [limb_length(store.points(clip)[0], spec.layout) for clip in range(min(len(store), 200))],
    )
    size = float(np.nan_to_num(np.nanmedian(sizes), nan=1.0)) or 1.0
    train = store.select(split="train")
    means, named, seconds = [], [], []
    for place, label in enumerate(store.labels):
        clips = train[index.label[train] == place]
        people = set(index.subject[clips].astype(str).tolist())
        if label not in labels or is_background(label) or len(people) < FEWEST_PEOPLE:
            continue
        windows = [_placed(fit_window(store.points(int(clip))[: spec.bodies], spec.frames), spec) for clip in clips]
        means.append(np.nanmean(np.stack(windows), axis=0) * size)
        named.append(label)
        seconds.append(float((index.length[clips] / index.fps[clips]).mean()))
    if not named:
        raise InputError("no class that two people show", where=store.path, expected="labelled training clips")
    return Samples(np.asarray(means, np.float32), tuple(named), round(spec.frames / float(np.mean(seconds)), 2))


def _placed(window: Points, spec: InputSpec) -> Points:
    """(M, T, V, C) from where the first body begins, its limb of length 1."""
    centre = np.nanmean(window[0, 0, list(spec.layout.centre)], axis=0)
    length = float(np.nan_to_num(limb_length(window[0], spec.layout), nan=1.0)) or 1.0
    return np.asarray((window - np.nan_to_num(centre)) / length, np.float32)


def add_samples(path: Path, store: ClipStore) -> Manifest:
    """Put typical motions of the store and a picture of them into a bundle; its manifest.

    Raises `InputError` where the store is not of the bundle's kind, for a translator and a model that reads more than
    landmarks, `UsageError` for a network for streams.
    """
    bundle = Bundle.open(path).recogniser().of_landmarks("motions to play have no such features")
    manifest = bundle.manifest
    if manifest.stream is not None:
        hint = f"last-edge run {path} --source store:STORE plays recordings"
        raise UsageError("typical motions are of clips; this bundle answers at every frame", where=path, hint=hint)
    store = labelled_as(store, manifest.labels, "train")
    check_store(bundle, store)
    samples = typical_motions(store, manifest.input, manifest.labels)
    picture = draw(samples, manifest.input.layout, down=manifest.units == "image01")
    return rewrite_bundle(bundle, manifest, files={SAMPLES: samples.to_bytes(), PICTURE: picture})
