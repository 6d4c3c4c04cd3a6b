"""Golden inputs: skeletons that no sensor ever saw, so that a bundle carries nobody's recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.inputs.features import LANDMARKS, FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.skeleton.layout import Layout

GOLDEN_CLIPS = 4


@dataclass(frozen=True)
class Size:
    """How large and how lively a made skeleton is, in the units of its points.

    bone: length of a bone. step: how far a joint moves against its parent from one frame to the next.
    """

    bone: float = 0.1
    step: float = 0.01


def size_of(points: NDArray[np.float32], layout: Layout) -> Size:
    """Median bone length and frame-to-frame step of windows (n, T, V, C) or (n, M, T, V, C); the usual where unseen."""
    children = [child for child, parent in enumerate(layout.parents) if child != parent]
    bones = points[..., children, :] - points[..., [layout.parents[child] for child in children], :]
    usual = Size()
    steps = _median_length(np.diff(bones, axis=-3), usual.step)
    return Size(_median_length(bones, usual.bone), steps)


def golden_points(spec: InputSpec, *, size: Size | None = None, seed: int = 0) -> NDArray[np.float32]:
    """(4, *spec.shape) inputs: a whole clip, scattered missing points, a late start, and nothing seen at all.

    Each is a random walk down the layout's tree: bones of about `size.bone` that turn by `size.step` a frame, and carry
    what hangs on them. The same seed gives the same points.
    """
    size, random = size or Size(), np.random.default_rng(seed)
    shape = (GOLDEN_CLIPS, *spec.shape)
    rest = random.normal(scale=size.bone / np.sqrt(shape[-1]), size=(*shape[:-3], 1, *shape[-2:]))
    walk = random.normal(scale=size.step / np.sqrt(shape[-1]), size=shape).cumsum(axis=-3)
    points: NDArray[np.float32] = np.matmul(_chains(spec.layout), rest + walk).astype(np.float32)
    points[1][random.random(points.shape[1:-1]) < 0.15] = np.nan
    points[2][..., : shape[-3] // 4, :, :] = np.nan
    points[3] = np.nan
    return points


def golden_inputs(
    spec: InputSpec, features: FeatureInput | None, *, size: Size | None = None, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """`golden_points` and, for a model with a second input, random rows, of which the third clip has none."""
    inputs = {LANDMARKS: golden_points(spec, size=size, seed=seed)}
    if features is not None:
        rows = np.random.default_rng(seed).normal(size=(GOLDEN_CLIPS, *features.shape)).astype(np.float32)
        rows[2] = np.nan
        inputs[features.name] = rows
    return inputs


def _chains(layout: Layout) -> NDArray[np.float64]:
    """(V, V) ones where the second joint lies on the way from the root to the first, itself included."""
    chains = np.eye(layout.joints)
    for joint in range(layout.joints):
        above = joint
        while layout.parents[above] != above:
            above = layout.parents[above]
            chains[joint, above] = 1.0
    return chains


def _median_length(vectors: NDArray[np.float32], usual: float) -> float:
    """Median length of the known vectors (..., C) to two digits, which is no one's own measure."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=-1))
    known = lengths[np.isfinite(lengths) & (lengths > 0)]
    return float(f"{np.median(known):.2g}") if len(known) else usual
