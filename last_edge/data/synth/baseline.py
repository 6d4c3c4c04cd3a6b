"""How hard a set is: multinomial logistic regression on resampled points, trained and tested on different signers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from last_edge.inputs.spec import InputSpec
from last_edge.inputs.transforms import fit_window, normalise
from last_edge.skeleton.clip import SkeletonClip

Array = NDArray[np.float64]
FRAMES = 32


def linear_top1(clips: Sequence[SkeletonClip], *, penalty: float = 1e-3, steps: int = 1500) -> float:
    """Share of `test` clips that logistic regression names rightly after fitting the `train` clips.

    Each clip becomes 32 frames, centred between the shoulders and scaled by their distance, missing points 0.
    The penalty is on the squared weights; accelerated gradient descent (Nesterov 1983) in the span of the clips.
    """
    names = sorted({str(clip.label) for clip in clips})
    labels = np.array([names.index(str(clip.label)) for clip in clips])
    train = np.array([clip.split == "train" for clip in clips])
    features = np.stack([_features(clip) for clip in clips])
    base = np.linalg.qr(features[train].T)[0]
    reduced = np.c_[features @ base, np.ones(len(clips))]
    weights = _fit(reduced[train], np.eye(len(names))[labels[train]], penalty, steps)
    guesses = (reduced[~train] @ weights).argmax(axis=1)
    return float((guesses == labels[~train]).mean())


def _features(clip: SkeletonClip) -> Array:
    spec = InputSpec(clip.layout, frames=FRAMES, centre="frame", scale="limb")
    points = normalise(fit_window(clip.coords, FRAMES), spec)
    return np.nan_to_num(points, nan=0.0).astype(np.float64).ravel()


def _fit(features: Array, targets: Array, penalty: float, steps: int) -> Array:
    curvature = 0.5 * np.linalg.norm(features, 2) ** 2 / len(features) + 2 * penalty
    weights = ahead = np.zeros((features.shape[1], targets.shape[1]))
    for step in range(steps):
        slope = features.T @ (_softmax(features @ ahead) - targets) / len(features) + 2 * penalty * ahead
        moved = ahead - slope / curvature
        ahead = moved + step / (step + 3) * (moved - weights)
        weights = moved
    return weights


def _softmax(logits: Array) -> Array:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
