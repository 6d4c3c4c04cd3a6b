"""Comparing two ways of training that answered the same clips, in numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError

Hits = NDArray[np.bool_]
DRAWS = 10_000
CHUNK = 500  # resamples held in memory at once
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Paired:
    """How much better one is than the other, in points of top-1: the mean difference and its interval.

    mcnemar: the exact test's p of each seed alone, for those who ask about one pair of runs.
    """

    points: float
    low: float
    high: float
    mcnemar: tuple[float, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_difference(one: Hits, other: Hits, *, draws: int = DRAWS, seed: int = 0) -> Paired:
    """Top-1 of `one` minus that of `other`, both (seeds, clips) of right answers to the same clips by the same seeds.

    The interval is the paired bootstrap's over clips (Efron and Tibshirani 1993, percentile), a clip's difference being
    its mean over the seeds: it tells what other clips would have shown, not what further seeds would.
    """
    _check_pair(one, other)
    by_clip = 100.0 * (one.astype(np.float64) - other).mean(axis=0)
    each = tuple(round(mcnemar(a, b), 4) for a, b in zip(one, other, strict=True))
    return _bootstrapped(by_clip, draws, seed, each)


def by_class(hits: Hits, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Right answers (seeds, clips) -> shares (seeds, K) of right answers in each class that has a clip."""
    return np.stack([hits[:, labels == label].mean(axis=1) for label in np.unique(labels)], axis=1)


def class_difference(one: Hits, other: Hits, labels: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0) -> Paired:
    """As `paired_difference`, of the mean over classes: the interval is the bootstrap's over classes."""
    _check_pair(one, other)
    return _bootstrapped(100.0 * (by_class(one, labels) - by_class(other, labels)).mean(axis=0), draws, seed, ())


def mcnemar(one: Hits, other: Hits) -> float:
    """Two-sided exact p of as uneven a split of the clips that only one of two runs got right (McNemar 1947)."""
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    total, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**total))


def _check_pair(one: Hits, other: Hits) -> None:
    if one.shape != other.shape or one.ndim != 2 or not one.size:
        raise InputError("answers cannot be paired", expected=one.shape, got=other.shape)


def _bootstrapped(values: NDArray[np.float64], draws: int, seed: int, each: tuple[float, ...]) -> Paired:
    """The mean of differences in points, and the percentile bootstrap's interval over them."""
    random = np.random.default_rng(seed)
    chunks = [min(CHUNK, draws - done) for done in range(0, draws, CHUNK)]
    means = np.concatenate([values[random.integers(0, len(values), (n, len(values)))].mean(1) for n in chunks])
    edge = 50.0 * (1 - CONFIDENCE)
    low, high = np.percentile(means, [edge, 100 - edge])
    return Paired(round(float(values.mean()), 2), round(float(low), 2), round(float(high), 2), each)


@dataclass(frozen=True)
class Spread:
    """Top-1 in percent over seeds: mean, standard deviation (0 of one seed), least and greatest."""

    mean: float
    std: float
    least: float
    greatest: float
    seeds: int


def spread(hits: Hits | NDArray[np.float64]) -> Spread:
    """Of right answers (seeds, clips), or of the shares of them in each class (seeds, K)."""
    top1 = 100.0 * hits.mean(axis=1)
    std = float(top1.std(ddof=1)) if len(top1) > 1 else 0.0
    values = (float(top1.mean()), std, float(top1.min()), float(top1.max()))
    mean, std, least, greatest = (round(value, 2) for value in values)
    return Spread(mean, std, least, greatest, len(top1))
