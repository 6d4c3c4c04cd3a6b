"""Gestures found in recordings, by the protocol of the SHREC 2021 contest (Caputo et al. 2021): spans against spans."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from last_edge.clips.compose import Span


@dataclass
class SpanScore:
    """Counts over any number of recordings.

    A detection is correct when it overlaps more than half of an annotated gesture of its label that was not found yet,
    misclassified when it overlaps more than half of one of another label, a false positive when it overlaps more than
    half of none; one more detection of a gesture that is found already counts as nothing. step: what a span's length
    has beyond end - start: 1 where both are numbers of frames, the last one inside, 0 for moments in seconds.
    delays: from the end of each gesture that was found to the end of its detection, or to the moment when that was
    decided, where this is told. told, told_after_end: from the beginning and from the end of each gesture found to the
    moment when its label was told.
    """

    step: float = 0.0
    seconds: float = 0.0
    annotated: Counter[str] = field(default_factory=Counter)
    correct: Counter[str] = field(default_factory=Counter)
    misclassified: Counter[str] = field(default_factory=Counter)
    false_positives: Counter[str] = field(default_factory=Counter)
    overlaps: dict[str, list[float]] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    told_after_end: list[float] = field(default_factory=list)

    def add(
        self, detections: Sequence[Span], annotated: Sequence[Span], *, seconds: float = 0.0,
        decided: Sequence[float] | None = None, told: Sequence[float] | None = None,
    ) -> frozenset[int]:  # fmt: skip
        """Count one recording; the places of the annotated gestures that were found. Misclassified and false detections
        count for the label that they name.

        decided, told: of each detection, the moment when it was decided, and when its label was told.
        """
        self.seconds += seconds
        self.annotated.update(span.label for span in annotated)
        found: set[int] = set()
        for place in sorted(range(len(detections)), key=lambda place: detections[place].end_s):
            detection = detections[place]
            shares = [self._common(detection, span) / self._length(span) for span in annotated]
            covered = [number for number, share in enumerate(shares) if share > 0.5]
            own = [number for number in covered if annotated[number].label == detection.label]
            new = [number for number in own if number not in found]
            if new:
                found.add(new[0])
                self.correct[detection.label] += 1
                moment = detection.end_s if decided is None else decided[place]
                self.delays.append(moment - annotated[new[0]].end_s)
                if told is not None:
                    self.told.append(told[place] - annotated[new[0]].start_s)
                    self.told_after_end.append(told[place] - annotated[new[0]].end_s)
            elif covered and not own:
                self.misclassified[detection.label] += 1
            elif not covered:
                self.false_positives[detection.label] += 1
            for span in annotated:
                common = self._common(detection, span)
                if span.label == detection.label and common > 0:
                    union = self._length(detection) + self._length(span) - common
                    self.overlaps.setdefault(span.label, []).append(common / union)
        return frozenset(found)

    def jaccard(self, label: str) -> float:
        """Overlap by union over the detections of a label that touch it; missed and wrong ones count as 0.

        The organisers' program computes it and prints the other one, `jaccard_counts`.
        """
        overlaps = self.overlaps.get(label, [])
        missed = self.annotated[label] - self.correct[label]
        count = len(overlaps) + missed + self.misclassified[label] + self.false_positives[label]
        return sum(overlaps) / count if count else 0.0

    def jaccard_counts(self, label: str) -> float:
        """Correct of all that were shown or wrongly detected; how far a correct one overlaps does not matter.

        The last column of the contest's table (`evaluateShrec21.m`, and `evaluation_shrec22.m` of the year after) is
        its mean over the classes, so it is what published Jaccard indices of the contest can be held against. There a
        wrong detection counts for the class of a gesture beside it instead of the one that it names.
        """
        count = self.annotated[label] + self.misclassified[label] + self.false_positives[label]
        return self.correct[label] / count if count else 0.0

    def to_dict(self, *, fps: float) -> dict[str, float | int | None]:
        """Rates from 0 to 1 of the annotated gestures, mean Jaccard indices over their classes, false events an hour.

        delay_frames, told_frames, told_after_end_frames: medians, of told_frames after the beginning, else after the
        end; None where nothing was found. fps: of the recordings, for spans in seconds.
        """
        gestures, classes = self.annotated.total(), sorted(self.annotated)
        wrong = self.misclassified.total() + self.false_positives.total()
        unit = 1.0 if self.step else fps
        delay, told, after = (
            round(float(np.median(all_)) * unit, 1) if all_ else None
            for all_ in (self.delays, self.told, self.told_after_end)
        )
        return {
            "detection": round(self.correct.total() / gestures, 4) if gestures else None,
            "false_positives": round(self.false_positives.total() / gestures, 4) if gestures else None,
            "false_positives_and_misclassified": round(wrong / gestures, 4) if gestures else None,
            "jaccard": _mean([self.jaccard(label) for label in classes]),
            "jaccard_counts": _mean([self.jaccard_counts(label) for label in classes]),
            "delay_frames": delay,
            **({} if told is None else {"told_frames": told, "told_after_end_frames": after}),
            "false_per_hour": round(3600 * wrong / self.seconds, 2) if self.seconds else None,
        }

    def by_class(self) -> dict[str, dict[str, float | int]]:
        """Of each annotated class its count, the share found, wrong detections of its name and its Jaccard indices."""
        return {
            label: {
                "annotated": count,
                "detection": round(self.correct[label] / count, 4),
                "misclassified": self.misclassified[label],
                "false_positives": self.false_positives[label],
                "jaccard": round(self.jaccard(label), 4),
                "jaccard_counts": round(self.jaccard_counts(label), 4),
            }
            for label, count in sorted(self.annotated.items())
        }

    def _length(self, span: Span) -> float:
        return max(span.end_s - span.start_s + self.step, 1e-9)

    def _common(self, one: Span, other: Span) -> float:
        return max(min(one.end_s, other.end_s) - max(one.start_s, other.start_s) + self.step, 0.0)


def _mean(shares: Sequence[float]) -> float | None:
    return round(float(np.mean(shares)), 4) if shares else None
