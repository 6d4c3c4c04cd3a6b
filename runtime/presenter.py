"""The end of the pipeline: draws on each frame, saves it as video or picture, shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from last_edge.errors import MissingError
from last_edge.runtime.display import Display, has_screen
from last_edge.runtime.overlay import Overlay
from last_edge.runtime.results import Event, Prediction
from last_edge.runtime.snapshot import Snapshot
from last_edge.runtime.sources import Frame
from last_edge.runtime.video_writer import VideoWriter
from last_edge.runtime.window import Points
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units


class Presenter:
    """Draws nothing when nothing is saved or shown; `MissingError` when a window is wanted and there is no screen."""

    def __init__(
        self,
        layout: Layout,
        units: Units,
        *,
        save: Path | None = None,
        snapshot: Path | None = None,
        window: bool = False,
        fps: float = 30.0,
    ) -> None:
        if window and not has_screen():
            raise MissingError("there is no screen to open a window on", hint="--no-window, with --save or --events")
        self._overlay = Overlay(layout, units)
        self._writer = VideoWriter(save, fps=fps) if save else None
        self._snapshot = Snapshot(snapshot) if snapshot else None
        self._display = Display() if window else None

    def show(
        self,
        frame: Frame,
        points: Points,
        *,
        prediction: Prediction | None,
        event: Event | None,
        milliseconds: Mapping[str, float],
    ) -> bool:
        """Present one frame with its (M, V, C) points; False when the user closes the window."""
        if self._writer is None and self._snapshot is None and self._display is None:
            return True
        drawn = self._overlay.draw(
            frame.image,
            points,
            time_s=frame.timestamp_s,
            prediction=prediction,
            event=event,
            milliseconds=milliseconds,
        )
        if self._writer is not None:
            self._writer.write(drawn)
        if self._snapshot is not None:
            self._snapshot.offer(drawn, prediction.best.probability if prediction else 0.0)
        return self._display.show(drawn) if self._display is not None else True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.close()
        if self._writer is not None:
            self._writer.finish() if kind is None else self._writer.discard()
        if self._snapshot is not None and kind is None:
            self._snapshot.finish()
