"""The event file: one JSON object a line for every frame, event, clip and notice, and a summary as the last line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from last_edge import records
from last_edge.files import writing
from last_edge.runtime.pipeline.pipeline import Item
from last_edge.runtime.recognise.results import ClipResult, Event
from last_edge.runtime.sources import Frame

DECIMALS = 5


class EventLog:
    """Writes records to an open binary stream; does nothing without one."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream

    def frame(self, item: Item, *, dropped: int) -> None:
        """What one frame showed: points (M, V, C) as `landmarks`, null where missing; dropped: frames so far.

        looked: whether they were found on this frame; otherwise they are those of the frame before.
        """
        if self._stream is None:
            return
        bodies = [
            [None if any(map(math.isnan, point)) else point for point in body.astype(float).tolist()]
            for body in item.points
        ]
        self._write(
            "frame", frame=item.frame.index, timestamp_s=item.frame.timestamp_s, clip=item.frame.clip,
            looked=item.looked, landmarks=bodies[0] if len(bodies) == 1 else bodies,
            prediction=None if item.prediction is None else records.to_dict(item.prediction),
            timings_ms=item.milliseconds, queues=item.queues, dropped=dropped,
        )  # fmt: skip

    def event(self, event: Event, *, frame: Frame) -> None:
        """A recognised gesture."""
        self._write("event", frame=frame.index, clip=frame.clip, **records.to_dict(event))

    def clip(self, clip: ClipResult) -> None:
        """The prediction for one whole recording."""
        self._write(
            "clip", clip=clip.name, frames=clip.frames, label=clip.label, prediction=records.to_dict(clip.prediction)
        )

    def notice(self, text: str) -> None:
        """What the source or a stage had to say, such as a lost camera."""
        self._write("notice", text=text)

    def summary(self, summary: Any) -> None:
        """The last line."""
        self._write("summary", **records.to_dict(summary))

    def _write(self, kind: str, **fields: Any) -> None:
        if self._stream is not None:
            line = json.dumps({"type": kind, **rounded(fields)}, ensure_ascii=False, allow_nan=False)
            self._stream.write(line.encode() + b"\n")


@contextmanager
def event_log(path: Path | None) -> Iterator[EventLog]:
    """A log into `path`, which appears when it is whole; a device or pipe is written to directly."""
    if path is None:
        yield EventLog(None)
    elif path.exists() and not path.is_file():
        with path.open("wb", buffering=0) as stream:
            yield EventLog(stream)
    else:
        with writing(path) as stream:
            yield EventLog(stream)


def rounded(value: Any) -> Any:
    """Every float in nested JSON types to five decimals."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return value
