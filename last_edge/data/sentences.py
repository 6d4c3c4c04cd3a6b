"""Clips of sentences as a torch dataset: whole, in their own length. Each draw depends on (seed, epoch, clip) alone."""

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
from last_edge.inputs.transforms import Points, sample_at


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
