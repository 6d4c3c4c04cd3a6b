"""Landmark clips that the page plays without a camera, and the golden tensors it checks itself with.

Only made recordings are packed: a bundle's golden tensors, and signs that `data synth` makes. Recordings of people stay
where they are, since an exported page may be published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle, Golden
from last_edge.bundle.samples import SAMPLES, Samples
from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError
from last_edge.runtime.recognise.window import Points
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import SkeletonClip, Units

FPS = 30.0
MADE = "synth"


@dataclass(frozen=True)
class Clip:
    """points: (M, T, V, C). label: its class, "" where none is known."""

    name: str
    label: str
    points: Points
    fps: float
    layout: Layout
    units: Units


@dataclass(frozen=True)
class Packed:
    """content: little-endian float32. clips, golden: what stands where; `offset` counts floats."""

    content: bytes
    clips: list[dict[str, Any]]
    golden: dict[str, Any]


def golden_clips(bundle: Bundle, units: Units) -> list[Clip]:
    """The golden skeletons as clips of 30 frames a second; they are made, and of no class."""
    spec = bundle.manifest.input
    points = bundle.golden.points
    bodies = points if points.ndim == 5 else points[:, None]
    return [
        Clip(f"test skeleton {number + 1}", "", body, FPS, spec.layout, units) for number, body in enumerate(bodies)
    ]


def sample_clips(bundle: Bundle) -> list[Clip]:
    """The typical motions that a bundle has with it."""
    manifest = bundle.manifest
    samples = Samples.from_bytes(bundle.read(SAMPLES), where=bundle.path / SAMPLES)
    return [
        Clip(f"{label}, as most do it", label, points, samples.fps, manifest.input.layout, cast(Units, manifest.units))
        for points, label in zip(samples.points, samples.labels, strict=True)
    ]


def store_clips(path: Path, labels: tuple[str, ...], *, count: int) -> list[Clip]:
    """Clips of a store of made signs, one of each class in turn, those of unseen signers first.

    `UsageError` when the store was not made by `data synth`: its recordings are somebody's.
    """
    store = ClipStore.open(path)
    if store.about.get("dataset") != MADE:
        raise UsageError("only made clips go into the page", where=path, expected="a store of `last-edge data synth`",
                         got=store.about.get("title") or store.about.get("dataset"))  # fmt: skip
    chosen = [store.clip(number) for number in _chosen(store, count)]
    return [from_skeleton(clip, labels, signer=f"signer {clip.subject}") for clip in chosen]


def _chosen(store: ClipStore, count: int) -> list[int]:
    """Numbers of clips, class after class and round again."""
    test = store.select(split="test")
    pool = test if len(test) else store.select()
    rounds: dict[int, int] = {}
    order: list[tuple[int, int, int]] = []
    for number in pool.tolist():
        label = int(store.index.label[number])
        rounds[label] = rounds.get(label, 0) + 1
        order.append((rounds[label], label, number))
    return [number for _, _, number in sorted(order)[:count]]


def from_skeleton(clip: SkeletonClip, labels: tuple[str, ...], *, signer: str) -> Clip:
    """A recorded or made clip; its class counts only where the bundle has it."""
    label = clip.label if clip.label in labels else ""
    name = f"{clip.label or 'a sign'}, {signer}"
    return Clip(name, label or "", clip.coords, clip.fps, clip.layout, clip.units)


def pack(clips: Sequence[Clip], golden: Golden, *, precisions: list[str]) -> Packed:
    """Clips, and the golden points and logits of some precisions, one after the other."""
    packer = _Packer()
    entries = [
        {"name": clip.name, "label": clip.label, "fps": clip.fps, "points": packer.add(clip.points)} for clip in clips
    ]
    answers = {name: packer.add(golden.logits[name]) for name in precisions if name in golden.logits}
    checks = {"points": packer.add(golden.points), "logits": answers}
    return Packed(b"".join(packer.pieces), entries, checks)


class _Packer:
    """Lays arrays one behind the other and says where each went."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._floats = 0

    def add(self, array: NDArray[np.float32]) -> dict[str, Any]:
        """Offset in floats and shape of what was added."""
        place = {"offset": self._floats, "shape": array.shape}
        self.pieces.append(np.ascontiguousarray(array, "<f4").tobytes())
        self._floats += array.size
        return place
