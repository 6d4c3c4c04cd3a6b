"""Clips of a store as torch datasets, fixed windows or whole sentences in their own length; windows on a GPU.

Each draw depends on (seed, epoch or view, clip) alone.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded, sentence_points
from last_edge.data.augment import VERTICAL, Augment, Draw, augment
from last_edge.inputs.spec import InputSpec, Points, fit_window, sample_at, seen_span
from last_edge.models.front import between_frames
from last_edge.skeleton.layout import Layout, ancestors

MOST_KEPT = 512 * 2**20
"""Bytes of augmented windows that a dataset of fixed views keeps."""
SEED_STRIDE = 1_000_003


class ClipDataset(Dataset[tuple[Tensor, int, int]]):
    """Items are (points, label, clip id): points as `spec.shape`, NaN where missing.

    ranges: None gives the plain window, as in serving. views: augmentations of each clip that the epochs cycle through;
    0 for another one every epoch. Views that come again are kept in memory, where all of them fit into `MOST_KEPT`.
    """

    def __init__(
        self, store: ClipStore, clips: NDArray[np.int64], *, spec: InputSpec, ranges: Augment | None = None,
        seed: int = 0, views: int = 0,
    ) -> None:  # fmt: skip
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
        self, store: ClipStore, clips: NDArray[np.int64], *, spec: InputSpec, ranges: Augment | None = None,
        tempo: Tempo | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
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


@dataclass(frozen=True)
class Draws:
    """`Draw` for a batch: positions (N, frames), mirrored (N,), matrix (N, C, C), hidden and lengths (N, V)."""

    positions: Tensor
    mirrored: Tensor
    matrix: Tensor
    hidden: Tensor
    lengths: Tensor

    @classmethod
    def stack(cls, draws: list[Draw]) -> Draws:
        """Draws of single clips as one batch."""
        parts = {field.name: [getattr(draw, field.name) for draw in draws] for field in dataclasses.fields(cls)}
        return cls(**{name: torch.from_numpy(np.stack(values)) for name, values in parts.items()})


class DeviceClips:
    """Clips of a store in a device's memory, augmented there a batch at a time: `last_edge.data.augment` in torch.

    A GPU that trains on few clips for many epochs else waits for its processor. Draws depend on (seed, epoch, batch)
    alone: a resumed run repeats them.
    """

    def __init__(
        self, store: ClipStore, clips: NDArray[np.int64], *, spec: InputSpec, ranges: Augment, seed: int, device: str
    ) -> None:
        self.spec, self.ranges, self.seed, self.device, self.epoch = spec, ranges, seed, device, 0
        self.ids = torch.from_numpy(np.asarray(clips, np.int64))
        points = [store.points(int(clip))[: spec.bodies].swapaxes(0, 1) for clip in clips]
        spans = [seen_span(clip.swapaxes(0, 1)) for clip in points]
        lengths = np.array([len(clip) for clip in points])
        self.frames = torch.from_numpy(np.concatenate(points)).to(device)
        self.starts = torch.from_numpy(np.cumsum(lengths) - lengths).to(device)
        self.ends = torch.from_numpy(lengths - 1).to(device)
        self.spans = torch.tensor(spans, device=device)
        self.labels = torch.from_numpy(store.index.label[clips]).to(device)

    @property
    def view(self) -> int:
        """Number of this epoch's augmentation."""
        return self.epoch

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, items: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented points (N, [M,] frames, V, C) and labels (N,) on the device, and the clips' ids (N,)."""
        rows = torch.tensor(items)
        random = torch.Generator(self.device).manual_seed(
            (self.seed * SEED_STRIDE + self.epoch) * SEED_STRIDE + items[0]
        )
        chosen = rows.to(self.device)
        drawn = draw_batch(self.spans[chosen], spec=self.spec, ranges=self.ranges, random=random)
        points = apply_batch(
            self.frames, drawn, starts=self.starts[chosen], ends=self.ends[chosen], layout=self.spec.layout
        )
        return points[:, 0] if self.spec.bodies == 1 else points, self.labels[chosen], self.ids[rows]


def draw_batch(spans: Tensor, *, spec: InputSpec, ranges: Augment, random: torch.Generator) -> Draws:
    """Random changes for clips with seen spans (N, 2), by the same distributions as `augment.draw`."""
    count, joints, axes, device = len(spans), spec.layout.joints, spec.channels, spans.device

    def uniform(*shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=random, device=device)

    share = uniform(1, low=ranges.crop, high=1.0)
    start = uniform(1, low=0.0) * (1 - share)
    even = torch.linspace(0.0, 1.0, spec.frames, device=device)
    warped = (even + ranges.warp * uniform(1) * torch.sin(math.pi * even) / math.pi).clamp(0.0, 1.0)
    first, last = spans[:, :1].double(), spans[:, 1:].double()
    positions = first + (start + share * warped).double() * (last - first)
    mirrored = uniform(low=0.0) < ranges.mirror
    tilt, turn = math.radians(ranges.tilt_deg), math.radians(ranges.rotation_deg)
    angles = uniform(3) * torch.tensor([tilt, turn, tilt], device=device)
    if axes < 3:
        angles = torch.stack([torch.zeros_like(angles[:, 0])] * 2 + [angles[:, VERTICAL]], dim=1)
    off_diagonal = 1 - torch.eye(axes, device=device)
    shear = torch.eye(axes, device=device) + ranges.shear * uniform(axes, axes) * off_diagonal
    matrix = _rotations(angles)[:, :axes, :axes] @ shear * (1 + ranges.scale * uniform(1, 1))
    needed = [*spec.layout.centre, *(joint for end in spec.layout.scale or () for joint in end)]
    may = torch.tensor([joint not in needed for joint in range(joints)], device=device)
    hidden = may & (uniform(joints, low=0.0) < ranges.mask * uniform(1, low=0.0))
    return Draws(positions, mirrored, matrix, hidden, 1 + ranges.bones * uniform(joints))


def _rotations(angles: Tensor) -> Tensor:
    """(N, 3, 3) rotations about x, then y, then z by angles (N, 3) in radians."""
    turned = torch.eye(3, device=angles.device).expand(len(angles), 3, 3)
    for axis in range(3):
        one, other = [index for index in range(3) if index != axis]
        step = torch.eye(3, device=angles.device).repeat(len(angles), 1, 1)
        step[:, one, one] = step[:, other, other] = torch.cos(angles[:, axis])
        step[:, one, other], step[:, other, one] = -torch.sin(angles[:, axis]), torch.sin(angles[:, axis])
        turned = step @ turned
    return turned


def apply_batch(frames: Tensor, drawn: Draws, *, starts: Tensor, ends: Tensor, layout: Layout) -> Tensor:
    """Windows (N, M, T, V, C) of clips that lie one after another in frames (ΣT', M, V, C).

    starts: (N,) a clip's first frame among all. ends: (N,) its last frame, counted from its first. See `augment.apply`.
    """
    before = drawn.positions.floor().long()
    after = torch.minimum(before + 1, ends[:, None])
    weight, first = (drawn.positions - before).float(), starts[:, None]
    moved = between_frames(frames[first + before], frames[first + after], weight)
    reflected = moved[..., list(layout.mirror), :].clone()
    reflected[..., 0] *= -1
    moved = torch.where(drawn.mirrored[:, None, None, None, None], reflected, moved)
    moved = torch.einsum("ntmvc,ndc->ntmvd", moved, drawn.matrix)
    bones = (
        torch.nan_to_num(moved - moved[..., list(layout.parents), :], nan=0.0)
        * (drawn.lengths - 1)[:, None, None, :, None]
    )
    above = torch.from_numpy(ancestors(layout)).to(moved.device)
    moved = moved + torch.einsum("wv,ntmvc->ntmwc", above, bones)
    return moved.masked_fill(drawn.hidden[:, None, None, :, None], torch.nan).transpose(1, 2).contiguous()
