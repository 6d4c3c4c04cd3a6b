"""Points of work of a bundle on a stream: how many gestures are found at how many false events an hour.

A bundle holds a curve for each way of decoding, found on people whom its weights never saw and on clips of no gesture
(`last_edge.tools.operating`), and states one point of it; a program may choose another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from last_edge.errors import UsageError

Row = dict[str, float]


@dataclass(frozen=True)
class OperatingPoint:
    """threshold: least probability of an event. energy: least score of a motion that was taught. detection: percent of
    gestures found. false_per_hour: events that are none. stated: whether it is what the bundle works at unasked.
    """

    threshold: float
    energy: float
    detection: float
    false_per_hour: float
    stated: bool = False

    @classmethod
    def of(cls, row: Row) -> OperatingPoint:
        """From a row of a manifest's `operating`."""
        figures = (row["threshold"], row["energy"], row["detection"], row["false_per_hour"])
        return cls(*figures, bool(row.get("stated", 0)))


def choose_point(
    operating: Mapping[str, Sequence[Row]], decode: str, *, most_false: float | None = None, where: object = None
) -> OperatingPoint | None:
    """The point that a bundle states for a way of decoding; with `most_false`, the one that finds most at no more false
    events an hour. None where the bundle has no curve and none is asked for.

    Raises `UsageError` where a rate is asked of a bundle without a curve, or a lower one than the curve reaches.
    """
    points = [OperatingPoint.of(row) for row in operating.get(decode, ())]
    if most_false is None:
        return next((point for point in points if point.stated), None)
    if not points:
        hint = "last-edge thresholds BUNDLE --store STORE --run RUN, or --threshold"
        raise UsageError(f"the bundle has no curve of false events for {decode}", where=where, hint=hint)
    fitting = [point for point in points if point.false_per_hour <= most_false]
    if not fitting:
        least = min(point.false_per_hour for point in points)
        raise UsageError(
            "the bundle's curve has no point with so few false events", where=where,
            expected=f"{least:g} an hour or more ({decode})", got=most_false, hint="last-edge thresholds BUNDLE",
        )  # fmt: skip
    return max(fitting, key=lambda point: (point.detection, -point.false_per_hour))
