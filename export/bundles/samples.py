"""Typical motions of a bundle's classes, each the mean of many people's clips of a store, so that it is nobody's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.bundle.manifest import Manifest
from last_edge.bundle.samples import PICTURE, SAMPLES, Samples, draw
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.errors import InputError
from last_edge.export.proof.evaluate import check_store
from last_edge.inputs import InputSpec
from last_edge.inputs.spec import Points, fit_window
from last_edge.names import is_background
from last_edge.skeleton.layout import limb_length
from last_edge.tasks.registry import task_of_bundle

FEWEST_PEOPLE = 2
LONGEST_S = 2.5


@dataclass(frozen=True)
class _Shown:
    """One person's motion: points (M, T, V, C), and how long it lasts."""

    points: Points
    subject: str
    seconds: float


def typical_motions(store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> Samples:
    """Of each class that a store's training split shows, background aside, the mean of its clips of all people.

    Clips are brought to the model's window, to where they begin and to one size, the median's, and averaged joint by
    joint. A class that fewer than two people show is left out: its mean would be somebody's recording.
    """
    index, train = store.index, store.select(split="train")
    shown: dict[str, list[_Shown]] = {}
    for clip in train[index.label[train] >= 0].tolist():
        seconds = float(index.length[clip] / index.fps[clip])
        part = _Shown(store.points(clip), str(index.subject[clip]), seconds)
        shown.setdefault(store.labels[index.label[clip]], []).append(part)
    kept = _of_several(shown, labels, store)
    size = _usual_size(store, spec)
    seconds = float(np.mean([_seconds(parts) for parts in kept.values()]))
    means = [_mean(parts, spec.frames, spec) * size for parts in kept.values()]
    return Samples(np.asarray(means, np.float32), tuple(kept), round(spec.frames / seconds, 2))


def typical_spans(store: ClipStore, spec: InputSpec, labels: tuple[str, ...], *, rate: float) -> Samples:
    """As `typical_motions` of what is annotated in the training recordings, `rate` frames a second.

    Each class lasts as long as it does on average, at most `LONGEST_S`; shorter ones stand still at their end.
    """
    index, shown = store.index, dict[str, list[_Shown]]()
    for clip in store.recordings("train").tolist():
        points, fps = store.points(clip), float(index.fps[clip])
        for label, first, last in index.spans[clip].tolist():
            part = _Shown(points[:, first : last + 1], str(index.subject[clip]), (last + 1 - first) / fps)
            shown.setdefault(store.labels[label], []).append(part)
    kept = _of_several(shown, labels, store)
    size = _usual_size(store, spec)
    lengths = [max(2, round(rate * min(_seconds(parts), LONGEST_S))) for parts in kept.values()]
    means = [_mean(parts, length, spec) * size for parts, length in zip(kept.values(), lengths, strict=True)]
    frames = max(lengths)
    even = [np.pad(mean, ((0, 0), (0, frames - mean.shape[1]), (0, 0), (0, 0)), mode="edge") for mean in means]
    return Samples(np.asarray(even, np.float32), tuple(kept), rate)


def _of_several(shown: dict[str, list[_Shown]], labels: tuple[str, ...], store: ClipStore) -> dict[str, list[_Shown]]:
    """Those of a bundle's gestures that two people show, in the bundle's order; `InputError` when there are none."""
    kept = {
        label: shown[label]
        for label in labels
        if not is_background(label) and len({part.subject for part in shown.get(label, [])}) >= FEWEST_PEOPLE
    }
    if not kept:
        raise InputError("no class that two people show", where=store.path, expected="labelled training clips")
    return kept


def _usual_size(store: ClipStore, spec: InputSpec) -> float:
    """Median length of the scale limb, 1 where there is none."""
    sizes = [limb_length(store.points(clip)[0], spec.layout) for clip in range(min(len(store), 200))]
    return float(np.nan_to_num(np.nanmedian(sizes), nan=1.0)) or 1.0


def _seconds(parts: list[_Shown]) -> float:
    return float(np.mean([part.seconds for part in parts]))


def _mean(parts: list[_Shown], frames: int, spec: InputSpec) -> Points:
    """(M, frames, V, C), a limb's length 1."""
    windows = [_placed(fit_window(part.points[: spec.bodies], frames), spec) for part in parts]
    return np.asarray(np.nanmean(np.stack(windows), axis=0), np.float32)


def _placed(window: Points, spec: InputSpec) -> Points:
    """(M, T, V, C) from where the first body begins, its limb of length 1."""
    centre = np.nanmean(window[0, 0, list(spec.layout.centre)], axis=0)
    length = float(np.nan_to_num(limb_length(window[0], spec.layout), nan=1.0)) or 1.0
    return np.asarray((window - np.nan_to_num(centre)) / length, np.float32)


def add_samples(path: Path, store: ClipStore) -> Manifest:
    """Put typical motions of the store and a picture of them into a bundle; its manifest.

    A network for streams needs a store of recordings. Raises `InputError` where the store is not of the bundle's kind,
    for a translator and a model that reads more than landmarks.
    """
    bundle = Bundle.open(path).recogniser().of_landmarks("motions to play have no such features")
    manifest = bundle.manifest
    store = task_of_bundle(manifest).labelled_as(store, manifest.labels, "train")
    if manifest.stream is None:
        check_store(bundle, store)
        samples = typical_motions(store, manifest.input, manifest.labels)
    else:
        check_points(store, manifest.input)
        samples = typical_spans(store, manifest.input, manifest.labels, rate=manifest.stream.rate)
    picture = draw(samples, manifest.input.layout, down=manifest.units == "image01")
    return rewrite_bundle(bundle, manifest, files={SAMPLES: samples.to_bytes(), PICTURE: picture})
