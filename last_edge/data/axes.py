"""Whether points lie the way round and in the unit that a store says: what a clip shows, and the gates on it.

Nobody holds both wrists above the head most of the time, and of most people's hands most point up: of the recordings
at hand 0.6% of signing clips show wrists above the nose, and in each set of more than three at least half of the clips
fingers above the wrist. A store that shows the opposite in most clips has its y axis the other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.skeleton.clip import Units
from last_edge.skeleton.layout import Layout

Points = NDArray[np.float32]
HEADS = ("head", "nose")
WRISTS = ("left_wrist", "right_wrist")
MOST_WRONG = 0.5
"""Share of clips with wrists above the head from which a store is upside down ..."""
MOST_HANGING = 0.75
"""... and of clips whose fingers hang below the wrist."""
LARGEST = {"image01": 10.0, "metres": 20.0}
"""Coordinates that no point has in these units: ten images away, twenty metres away. Pixels and millimetres have."""


@dataclass(frozen=True)
class Lie:
    """How one clip lies. upside: whether its body, or where there is none its hand, is upside down; None where that is
    not seen. far: the median of the largest coordinate of a frame.
    """

    upside: bool | None
    far: float


@dataclass(frozen=True)
class Orientation:
    """What tells a layout's up from down: heads and wrists of a body, or the wrist and knuckle of a hand."""

    high: tuple[int, ...]
    low: tuple[int, ...]
    what: str
    most: float

    @classmethod
    def of(cls, layout: Layout) -> Orientation | None:
        """None for a layout of which neither is known."""
        names = {name: joint for joint, name in enumerate(layout.names)}
        heads = tuple(names[name] for name in HEADS if name in names)
        wrists = tuple(names[name] for name in WRISTS if name in names)
        if heads and len(wrists) == 2:
            return cls(heads[:1], wrists, "wrists above the head", MOST_WRONG)
        knuckle = next((joint for name, joint in names.items() if "middle" in name), None)
        root = names.get("wrist", names.get("palm"))
        if layout.one_hand and root is not None and knuckle is not None:
            return cls((knuckle,), (root,), "hands that hang", MOST_HANGING)
        return None


def lie_of(points: Points, layout: Layout, units: Units) -> Lie:
    """How a clip of (M, T, V, C) points lies."""
    body, seen = points[0], Orientation.of(layout)
    largest = np.abs(body[..., :2]).max(-1, initial=0.0)
    shown = largest[~np.isnan(largest)]
    far = float(np.median(shown)) if len(shown) else 0.0
    if seen is None:
        return Lie(None, far)
    above, below = (body[:, list(joints), 1].mean(1) for joints in (seen.high, seen.low))
    rises = (below - above) if units == "image01" else (above - below)
    rises = rises[~np.isnan(rises)]
    return Lie(bool((rises < 0).mean() > 0.5) if len(rises) else None, far)


def upside_down(lies: Iterable[Lie], layout: Layout) -> tuple[float, bool] | None:
    """Share of clips that lie upside down, and whether that is too many; None where nobody can tell."""
    seen = Orientation.of(layout)
    known = [lie.upside for lie in lies if lie.upside is not None]
    if seen is None or not known:
        return None
    share = float(np.mean(known))
    return share, share > seen.most


def faults_of(lies: Sequence[Lie], layout: Layout, units: Units) -> list[str]:
    """What is odd of a store of such clips, in a sentence each."""
    found, seen = [], Orientation.of(layout)
    wrong = upside_down(lies, layout)
    if wrong is not None and seen is not None and wrong[1]:
        down = "up in metres, down in image01"
        found.append(f"upside down? {wrong[0]:.0%} of clips show {seen.what}; y points {down} (--axes, --rotate)")
    far = beyond_units(lies, units)
    if far is not None:
        found.append(f"pixels? points lie at {far:.0f}, which is no {units} (--image-size, --units)")
    return found


def beyond_units(lies: Sequence[Lie], units: Units) -> float | None:
    """The median largest coordinate where it is none of the units; else None."""
    far = float(np.median([lie.far for lie in lies])) if lies else 0.0
    return far if far > LARGEST[units] else None
