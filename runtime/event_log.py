"""The event file: one JSON object a line for every frame, event and clip, and a summary as the last line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.files import writing
from last_edge.runtime.results import Event, Prediction
from last_edge.runtime.sources import Frame

DECIMALS = 5


class EventLog:
    """Writes records to an open binary stream; does nothing without one."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream

    def frame(
        self, frame: Frame, points: NDArray[np.float32], prediction: Prediction | None, timings: dict[str, float]
    ) -> None:
        """What one frame showed: points (M, V, C) as `landmarks`, null where missing."""
        if self._stream is None:
            return
        bodies = [point_list(body) for body in points]
        self._write(
            "frame",
            frame=frame.index,
            timestamp_s=frame.timestamp_s,
            clip=frame.clip,
            landmarks=bodies[0] if len(bodies) == 1 else bodies,
            prediction=None if prediction is None else records.to_dict(prediction),
            timings_ms=timings,
        )

    def event(self, event: Event, *, frame: Frame) -> None:
        """A recognised gesture."""
        self._write("event", frame=frame.index, clip=frame.clip, **records.to_dict(event))

    def clip(self, name: str, prediction: Prediction, *, frames: int, label: str | None) -> None:
        """The prediction for one whole recording, and its true class where it is known."""
        self._write("clip", clip=name, frames=frames, label=label, prediction=records.to_dict(prediction))

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


def point_list(body: NDArray[np.float32]) -> list[list[float] | None]:
    """(V, C) points as rounded lists, None where missing."""
    return [None if any(map(math.isnan, point)) else point for point in body.astype(float).tolist()]


def rounded(value: Any) -> Any:
    """Every float in nested JSON types to five decimals."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return value
