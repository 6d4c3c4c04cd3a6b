"""Clips and whole recordings of a store as a model's input, and whether a store fits one.

numpy alone: a device evaluates with it too.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.features import features_for
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, UsageError
from last_edge.inputs.features import LANDMARKS, FeatureInput
from last_edge.inputs.spec import InputSpec, Points, fit_window, sample_at, seen_span
from last_edge.names import nearest

BATCH = 16
NEAR = 1e-6
Frames = NDArray[np.float32]


def plain_batch(
    store: ClipStore, clips: NDArray[np.int64], spec: InputSpec, features: FeatureInput | None = None
) -> dict[str, NDArray[np.float32]]:
    """What a model reads of some clips, by input name: windows (N, *spec.shape), not augmented, and features."""
    windows = np.stack([fit_window(store.points(int(clip))[: spec.bodies], spec.frames) for clip in clips])
    inputs = {LANDMARKS: windows[:, 0] if spec.bodies == 1 else windows}
    if features is not None:
        inputs[features.name] = features_for(store, features).windows(clips, features.frames)
    return inputs


def sentence_points(store: ClipStore, clip: int, frames: int) -> Points:
    """(T, V, C) body 0 of a clip from the first frame that shows it to the last, `frames` of them at most."""
    points = store.points(clip)[:1]
    first, last = seen_span(points)
    return points[0, first : min(last + 1, first + frames)]


def padded(clips: list[Points]) -> Points:
    """Clips (T_i, V, C) as one array (N, T, V, C), T the longest; NaN, no point, behind the shorter ones."""
    batch = np.full((len(clips), max(map(len, clips)), *clips[0].shape[1:]), np.nan, np.float32)
    for place, points in enumerate(clips):
        batch[place, : len(points)] = points
    return batch


def translated_clips(store: ClipStore, split: str) -> NDArray[np.int64]:
    """Clips of a split that have a text; `InputError` when there are none."""
    clips = store.select(split=split)
    clips = np.asarray(clips[store.index.text[clips] != ""], np.int64)
    if not len(clips):
        splits = sorted(set(store.index.split[store.index.text != ""].tolist()))
        hint = "--split names another one" if splits else "last-edge data compose, or data prepare how2sign | phoenix"
        raise InputError("no clips with text in this split", where=store.path, expected=split, got=splits, hint=hint)
    return clips


def labelled_clips(store: ClipStore, split: str) -> NDArray[np.int64]:
    """Labelled clips of a split; `InputError` when there are none."""
    clips = store.select(split=split)
    clips = clips[store.index.label[clips] >= 0]
    if not len(clips):
        splits = sorted(set(store.index.split.tolist()))
        hint = "--split '' takes the clips without one" if splits == [""] else "--split names another one"
        raise InputError("no labelled clips in this split", where=store.path, expected=split, got=splits, hint=hint)
    return clips


def of_people(
    store: ClipStore, clips: NDArray[np.int64], subjects: Sequence[str], *, missing: str = "in the split",
    where: Path | None = None,
) -> NDArray[np.int64]:  # fmt: skip
    """Those of some clips that show these people, all where none is named; `UsageError` for one without a clip.

    missing, where: what the error says of such a name, and of which artefact.
    """
    people = store.index.subject[clips].astype(str)
    if strange := set(subjects) - set(people.tolist()):
        got, known = ", ".join(sorted(strange)), ", ".join(sorted(set(people.tolist())))
        raise UsageError(f"nobody of this name {missing}", where=where, got=got, expected=known)
    return clips[np.isin(people, list(subjects))] if subjects else clips


def check_fits(store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> None:
    """`InputError` when a store's layout, axes, bodies or labels are not those of an artefact."""
    check_points(store, spec)
    if store.labels != labels:
        raise InputError("store has other labels", where=store.path, expected=labels, got=store.labels)


def labelled_as(store: ClipStore, labels: tuple[str, ...], split: str) -> ClipStore:
    """The store with its labels numbered as an artefact numbers them, matched by name, to measure a split.

    A store may hold some of the labels only, in any order. `InputError` names labels of the split's clips that are none
    of the artefact's.
    """
    used = np.unique(store.index.label[labelled_clips(store, split)])
    unknown = [store.labels[label] for label in used if store.labels[label] not in labels]
    if unknown:
        close = {name: " or ".join(nearest(name, labels)) for name in unknown}
        similar = ", ".join(f"{name}: {names}" for name, names in close.items() if names)
        raise InputError(
            "labels that were never learnt", where=store.path, expected=f"of {', '.join(labels)}",
            got=", ".join(unknown) + (f" (similar: {similar})" if similar else ""),
            hint=f"last-edge train --finetune BUNDLE --store {store.path} --out RUN teaches them",
        )  # fmt: skip
    places = np.array([labels.index(name) if name in labels else -1 for name in store.labels] + [-1], np.int64)
    return replace(
        store, header=replace(store.header, labels=labels), index=replace(store.index, label=places[store.index.label])
    )


def check_points(store: ClipStore, spec: InputSpec) -> None:
    """`InputError` when a store's clips are not what a specification takes: layout, axes, bodies."""
    if store.layout != spec.layout:
        expected, got = (f"{layout.name}, {layout.joints} joints" for layout in (spec.layout, store.layout))
        raise InputError("store has another layout", where=store.path, expected=expected, got=got)
    _, bodies, _, axes = store.frames.shape
    if axes != spec.channels:
        raise InputError("store has another number of axes", where=store.path, expected=spec.channels, got=axes)
    if bodies < spec.bodies:
        raise InputError("store has too few bodies", where=store.path, expected=spec.bodies, got=bodies)


def recordings(store: ClipStore, clips: NDArray[np.int64], spec: InputSpec, rate: float) -> list[Frames]:
    """(T_i, V, C) of body 0 of each clip at `rate` frames a second, from its first frame on, linear in time."""
    found = []
    for clip, fps in zip(clips.tolist(), store.index.fps[clips].tolist(), strict=True):
        points, last = store.points(clip)[: spec.bodies], int(store.index.length[clip]) - 1
        count = int(np.floor(last / fps * rate + NEAR)) + 1
        found.append(sample_at(points, np.minimum(np.arange(count) * fps / rate, last))[0])
    return found


def held_still(points: Frames, delay: int) -> Frames:
    """(T + delay, V, C): a recording whose last frame stands still until a model that answers `delay` frames late has
    answered it."""
    return np.concatenate([points, np.repeat(points[-1:], delay, axis=0)])


def frame_answers(
    answer: Callable[[Frames], Frames], store: ClipStore, clips: NDArray[np.int64], spec: InputSpec, *, rate: float,
    delay: int,
) -> Frames:  # fmt: skip
    """(F, K): what is said of every frame of some recordings, one recording behind the other.

    answer: as of `rate_answers`. A frame is given the answer for the newest one at `rate`.
    """
    return at_own_rates(rate_answers(answer, store, clips, spec, rate=rate, delay=delay), store, clips, rate=rate)


def rate_answers(
    answer: Callable[[Frames], Frames], store: ClipStore, clips: NDArray[np.int64], spec: InputSpec, *, rate: float,
    delay: int,
) -> list[Frames]:  # fmt: skip
    """What is said of the frames of each recording at `rate` frames a second, (T_i, K).

    answer: (N, T, V, C) at `rate`, padded behind, -> (N, T, K), each answer `delay` frames after the frame that it is
    for; a recording's last frame stands still meanwhile.
    """
    said = _by_clip(answer, [held_still(points, delay) for points in recordings(store, clips, spec, rate)])
    return [own[delay:] for own in said]


def at_own_rates(said: list[Frames], store: ClipStore, clips: NDArray[np.int64], *, rate: float) -> Frames:
    """(F, K) of every frame of the recordings: what `rate_answers` says of the newest one at `rate`."""
    rates, lengths = store.index.fps[clips].tolist(), store.index.length[clips].tolist()
    places = (
        np.floor(np.arange(length) / fps * rate + NEAR).astype(np.int64)
        for fps, length in zip(rates, lengths, strict=True)
    )
    return np.concatenate([own[place] for own, place in zip(said, places, strict=True)])


def _by_clip(answer: Callable[[Frames], Frames], clips: list[Frames]) -> list[Frames]:
    """What is answered to each clip, (T_i, K). answer: (N, T, V, C), padded behind, -> (N, T, K)."""
    order = sorted(range(len(clips)), key=lambda place: len(clips[place]))
    found: dict[int, Frames] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        logits = answer(padded([clips[place] for place in chosen]))
        found |= {place: logits[row, : len(clips[place])] for row, place in enumerate(chosen)}
    return [found[place] for place in range(len(clips))]
