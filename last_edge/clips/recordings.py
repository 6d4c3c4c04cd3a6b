"""Whole recordings as a model reads them that answers at every frame: at its own rate, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded
from last_edge.inputs.spec import InputSpec, sample_at

BATCH = 16
NEAR = 1e-6
Frames = NDArray[np.float32]


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

    answer: (N, T, V, C) at `rate`, padded behind, -> (N, T, K), each answer `delay` frames after the frame that it is
    for; a recording's last frame stands still meanwhile. A frame is given the answer for the newest one at `rate`.
    """
    said = _by_clip(answer, [held_still(points, delay) for points in recordings(store, clips, spec, rate)])
    rates, lengths = store.index.fps[clips].tolist(), store.index.length[clips].tolist()
    places = (
        np.floor(np.arange(length) / fps * rate + NEAR).astype(np.int64)
        for fps, length in zip(rates, lengths, strict=True)
    )
    return np.concatenate([own[delay:][place] for own, place in zip(said, places, strict=True)])


def _by_clip(answer: Callable[[Frames], Frames], clips: list[Frames]) -> list[Frames]:
    """What is answered to each clip, (T_i, K). answer: (N, T, V, C), padded behind, -> (N, T, K)."""
    order = sorted(range(len(clips)), key=lambda place: len(clips[place]))
    found: dict[int, Frames] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        logits = answer(padded([clips[place] for place in chosen]))
        found |= {place: logits[row, : len(clips[place])] for row, place in enumerate(chosen)}
    return [found[place] for place in range(len(clips))]
