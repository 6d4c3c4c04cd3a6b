"""One pass of a stream over a feed: frames, their points, predictions and events, stage by stage on threads."""

from collections.abc import Generator
from typing import Literal, get_args

import numpy as np

from last_edge.errors import UsageError
from last_edge.runtime.pipeline.feed import Feed
from last_edge.runtime.pipeline.pipeline import NOTHING, STAGES, Item, Pipeline, Timings
from last_edge.runtime.recognise.adapt import HandShape
from last_edge.runtime.recognise.decoding import ClipResult, Event
from last_edge.runtime.recognise.stream import Stream
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame

Pace = Literal["fast", "real"]
LONGEST = 9000


class Watch:
    """Iterating gives each frame with what was found in it, once; raises what a stage raises.

    pace: `fast` works on every frame of a file; `real` plays it at its own rate and drops what comes too fast, as a
    live source always does. limit: frames taken of the source. max_age_s: as of `Pipeline`.
    timings: of the stages; the iteration's body is `present`, which its owner measures. predictions: made so far.
    """

    def __init__(
        self, feed: Feed, stream: Stream, *, pace: Pace = "fast", limit: int | None = None,
        max_age_s: float | None = None,
    ) -> None:  # fmt: skip
        if pace not in get_args(Pace) or (limit is not None and limit < 1):
            got = f"pace {pace!r}, limit {limit}"
            raise UsageError("a source is not played like this", expected="pace fast or real, limit above 0", got=got)
        self.feed, self.stream = feed, stream
        self.pace = "live" if feed.source.live else pace
        self.timings, self.clips = Timings(STAGES), ClipCollector(stream)
        self.predictions = 0
        self._other_hand = stream.adapter.other_hand
        self._shape = HandShape(feed.layout) if self._other_hand else None
        self.pipeline = Pipeline(
            feed.source, landmarks=self._find_points, recognise=self._recognise, timings=self.timings,
            live=self.pace != "fast", paced=self.pace == "real", limit=limit, max_age_s=max_age_s,
        )  # fmt: skip
        self._held: Points = NOTHING
        self._newest: Frame | None = None

    def __iter__(self) -> Generator[Item]:
        return iter(self.pipeline)

    def finish(self) -> tuple[list[tuple[Frame, Event]], list[ClipResult]]:
        """After the iteration: the events of what the last recording still showed, and what it was as a whole."""
        return self._closing(), self.clips.finish()

    def _closing(self) -> list[tuple[Frame, Event]]:
        newest, self._newest = self._newest, None
        return [] if newest is None else [(newest, event) for event in self.stream.finish()]

    def _find_points(self, item: Item) -> None:
        """A frame that the detector leaves out shows the points of the one before."""
        item.looked = self.feed.looks_at(item.frame)
        if item.looked:
            with self.timings.measure("landmarks", into=item.milliseconds):
                self._held = self.feed.points(item.frame)
        item.points, item.side = self._held, self.feed.side

    def _recognise(self, item: Item) -> None:
        """The recording before is predicted as a whole outside of any frame's time."""
        frame = item.frame
        if not item.looked:
            item.prediction = self.stream.current
            return
        if self.clips.starts_another(frame):
            item.events += self._closing()
            item.clips += self.clips.finish()
            self.stream.start_clip()
        self.clips.take(frame, item.points)
        self._newest = frame
        with self.timings.measure("recognise", into=item.milliseconds):
            before = self.stream.current
            item.events += [
                (frame, event) for event in self.stream.push(item.points, frame.timestamp_s, seen=item.side)
            ]
            item.prediction = self.stream.current
        if self._shape is not None and not item.side and item.points.shape[-1] == 3:
            other = self._other_hand
            if self._shape.add(item.points[0]) == other:
                self.feed.notices.append(
                    f"this looks like a {other} hand, which the bundle was not taught: --hand {other}"
                )
        self.predictions += item.prediction is not None and item.prediction is not before


class ClipCollector:
    """Keeps the points of the recording that plays; at its end gives the prediction for all of it.

    Recordings of more than 9,000 frames, and those that never show a point of use, are not predicted as a whole.
    predicted: recordings predicted; known: those with a true class; right: those of them predicted right.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._first: Frame | None = None
        self._points: list[Points] = []
        self._times: list[float] = []
        self.predicted = self.known = self.right = 0

    def starts_another(self, frame: Frame) -> bool:
        """Whether a frame begins another recording than the one that plays."""
        return self._first is not None and frame.clip != "" and frame.clip != self._first.clip

    def take(self, frame: Frame, points: Points) -> None:
        """Add a frame's points (M, V, C) to its recording."""
        if not frame.clip:
            return
        if self._first is None:
            self._first = frame
        if len(self._points) <= LONGEST:
            self._points.append(points)
            self._times.append(frame.timestamp_s)

    def finish(self) -> list[ClipResult]:
        """Predict and forget the recording that has played; empty when there is none to predict."""
        first, points, times = self._first, self._points, self._times
        self._first, self._points, self._times = None, [], []
        if first is None or len(points) > LONGEST or not any(map(self._stream.adapter.sees, points)):
            return []
        prediction = self._stream.predict(np.stack(points, axis=1), np.array(times))
        self.predicted += 1
        self.known += first.label is not None
        self.right += first.label == prediction.best.label
        return [ClipResult(first.clip, prediction, len(points), first.label)]
