"""Clips of a store as torch datasets: fixed windows, or whole sentences in their own length.

Each draw depends on (seed, epoch or view, clip) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded, sentence_points
from last_edge.data.augment import Augment, augment
from last_edge.inputs.spec import InputSpec
from last_edge.inputs.transforms import Points, fit_window, sample_at

MOST_KEPT = 512 * 2**20
"""Bytes of augmented windows that a dataset of fixed views keeps."""


class ClipDataset(Dataset[tuple[Tensor, int, int]]):
    """Items are (points, label, clip id): points as `spec.shape`, NaN where missing.

    ranges: None gives the plain window, as in serving. views: augmentations of each clip that the epochs cycle through;
    0 for another one every epoch. Views that come again are kept in memory, where all of them fit into `MOST_KEPT`.
    """

    def __init__(
        self,
        store: ClipStore,
        clips: NDArray[np.int64],
        *,
        spec: InputSpec,
        ranges: Augment | None = None,
        seed: int = 0,
        views: int = 0,
    ) -> None:
        self.store, self.clips, self.spec, self.ranges = store, clips, spec, ranges
        self.seed, self.views, self.epoch = seed, views, 0
        whole = 4 * views * len(clips) * int(np.prod(spec.shape))
        self._kept: dict[tuple[int, int], Points] | None = {} if 0 < whole <= MOST_KEPT else None

    @property
    def view(self) -> int:
        """Number of this epoch's augmentation."""
        return self.epoch % self.views if self.views else self.epoch

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, item: int) -> tuple[Tensor, int, int]:
        clip = int(self.clips[item])
        window = self._again(clip) if self._kept is not None else self._window(clip, self.bodies(clip))
        points = window[0] if self.spec.bodies == 1 else window
        return torch.from_numpy(points), int(self.store.index.label[clip]), clip

    def bodies(self, clip: int) -> Points:
        """(M, T', V, C) the bodies the model reads."""
        return self.store.points(clip)[: self.spec.bodies]

    def _again(self, clip: int) -> Points:
        """This view of a clip, drawn at its first use."""
        assert self._kept is not None
        key = self.view, clip
        if key not in self._kept:
            self._kept[key] = self._window(clip, self.bodies(clip))
        return self._kept[key]

    def _window(self, clip: int, points: Points) -> Points:
        if self.ranges is None:
            return fit_window(points, self.spec.frames)
        random = np.random.default_rng([self.seed, self.view, clip])
        return augment(points, frames=self.spec.frames, layout=self.spec.layout, ranges=self.ranges, random=random)


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """A shuffle of 0..count-1 that depends on (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclass(frozen=True)
class Tempo:
    """speed: a clip is played 1 +- speed times as fast. jitter: frames that a frame may come early or late."""

    speed: float = 0.0
    jitter: float = 0.0


class SentenceDataset(Dataset[tuple[Tensor, int]]):
    """Items are (points (T, V, C), clip id), T of each clip's own and `spec.frames` at most, NaN where missing."""

    def __init__(
        self,
        store: ClipStore,
        clips: NDArray[np.int64],
        *,
        spec: InputSpec,
        ranges: Augment | None = None,
        tempo: Tempo | None = None,
        seed: int = 0,
    ) -> None:
        self.store, self.clips, self.spec, self.seed = store, clips, spec, seed
        self.ranges, self.tempo = ranges, tempo or Tempo()
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        clip = int(self.clips[item])
        points = sentence_points(self.store, clip, self.spec.frames)
        if self.ranges is not None:
            points = self._changed(points[None], np.random.default_rng([self.seed, self.epoch, clip]))[0]
        return torch.from_numpy(np.ascontiguousarray(points[: self.spec.frames])), clip

    def _changed(self, points: Points, random: np.random.Generator) -> Points:
        """(1, T, V, C) -> (1, T', V, C) jittered, faster or slower, turned, scaled, sheared."""
        assert self.ranges is not None
        length = points.shape[1]
        shift = random.uniform(-self.tempo.jitter, self.tempo.jitter, length)
        jittered = sample_at(points, np.clip(np.sort(np.arange(length) + shift), 0, length - 1))
        frames = max(2, round(length / random.uniform(1 - self.tempo.speed, 1 + self.tempo.speed)))
        return augment(jittered, frames=frames, layout=self.spec.layout, ranges=self.ranges, random=random)


def padded_tensors(items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """A batch: points (N, T, V, C), NaN behind the shorter clips, and clip ids (N,)."""
    points = padded([clip.numpy() for clip, _ in items])
    return torch.from_numpy(points), torch.tensor([number for _, number in items])
