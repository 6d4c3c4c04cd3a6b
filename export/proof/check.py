"""What a verification says of one thing, and how far a figure may be from its second measurement."""

from __future__ import annotations

from dataclasses import dataclass

from last_edge.bundle.manifest import Figure

# Below this many clips a figure must come out the same; from there on one clip may change its answer, because another
# processor rounds a near tie the other way.
ENOUGH_CLIPS = 100


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. name: what. holds: whether it is as recorded. detail: expected and got."""

    name: str
    holds: bool
    detail: str


def one_clip(clips: int) -> float:
    """Percentage points that one of so many clips weighs, and 0 where every clip must come out the same."""
    return 100.0 / clips if clips >= ENOUGH_CLIPS else 0.0


def number(figure: Figure | None) -> float:
    """A recorded figure as a number; NaN, which is near nothing, where it is absent or text."""
    return float(figure) if isinstance(figure, int | float) else float("nan")
