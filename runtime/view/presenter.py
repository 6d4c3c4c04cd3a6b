"""The end of the pipeline: draws on each frame, saves it as video or picture, shows it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from last_edge.errors import MissingError
from last_edge.files import writing
from last_edge.runtime.recognise.results import Event, Prediction
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame
from last_edge.runtime.view.drawing import Image
from last_edge.runtime.view.overlay import WORDS_SHOWN, Hud, Overlay
from last_edge.runtime.view.saving import Snapshot, VideoWriter, free_name
from last_edge.runtime.view.window import Action, Controls, Display, has_screen
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

PAUSE_MS = 30
RATE_OVER = 30
UNSEEN_S = 1.0
HINT = "nobody in view: come into the picture, with light on you"
HAND_HINT = "no hand in view: hold it up, with light on it"


class Presenter:
    """Draws nothing when nothing is saved or shown; `MissingError` when a window is wanted and there is no screen.

    keep: folder of what the keys s and c save. mirrored: how the window begins; saved pictures never are.
    gestures: names of those to try. actions: of further keys, see `controls`.
    """

    def __init__(
        self, layout: Layout, units: Units, *, save: Path | None = None, snapshot: Path | None = None,
        window: bool = False, fps: float = 30.0, keep: Path = Path(), mirrored: bool = False,
        gestures: tuple[str, ...] = (), actions: Mapping[str, Action] | None = None,
    ) -> None:  # fmt: skip
        if window and not has_screen():
            raise MissingError("there is no screen to open a window on", hint="--no-window, with --save or --events")
        self._overlay, self._keep, self._gestures = Overlay(layout, units), keep, gestures
        self._hint_text = HAND_HINT if len(layout.hands) < layout.joints or layout.one_hand else HINT
        self._writer = VideoWriter(save, fps=fps) if save else None
        self._snapshot = Snapshot(snapshot) if snapshot else None
        self._display = Display() if window else None
        self.controls = Controls({"s": self._save_picture, **(actions or {})}, mirrored=mirrored)
        self._transcript: deque[str] = deque(maxlen=WORDS_SHOWN)
        self._shown: deque[float] = deque(maxlen=RATE_OVER)
        self._seen_s: float | None = None
        self._drawn: Image | None = None

    def show(
        self, frame: Frame, points: Points, *, prediction: Prediction | None, event: Event | None,
        milliseconds: Mapping[str, float], seen: bool = True, badge: str = "", refused: str = "",
    ) -> bool:  # fmt: skip
        """Present one frame with its (M, V, C) points; False when the user closes the window.

        seen: whether they show anything of use. badge: backend and precision, for the window. refused: why there is
        no event.
        """
        if self._writer is None and self._snapshot is None and self._display is None:
            return True

        def draw(hud: Hud | None) -> Image:
            return self._overlay.draw(frame.image, points, time_s=frame.timestamp_s, prediction=prediction,
                                      event=event, milliseconds=milliseconds, hud=hud)  # fmt: skip

        if self._writer is not None or self._snapshot is not None:
            drawn = draw(None)
            if self._writer is not None:
                self._writer.write(drawn)
            if self._snapshot is not None:
                self._snapshot.offer(drawn, prediction.best.probability if prediction else 0.0)
        if self._display is None:
            return True
        self._transcript.extend([event.label] if event else [])
        self._seen_s = frame.timestamp_s if seen or self._seen_s is None else self._seen_s
        hint = self._hint_text if frame.timestamp_s - self._seen_s >= UNSEEN_S else ""
        return self._window(lambda: draw(self._hud(badge, hint, refused)), self._display)

    def _window(self, draw: Callable[[], Image], display: Display) -> bool:
        """Show the frame; while paused, again and again until a key goes on or ends."""
        self._shown.append(time.monotonic())
        self._drawn = draw()
        self.controls.press(display.show(self._drawn))
        while self.controls.paused and not self.controls.stopped:
            self._drawn = draw()
            self.controls.press(display.show(self._drawn, wait_ms=PAUSE_MS))
        return not self.controls.stopped

    def _hud(self, badge: str, hint: str, refused: str) -> Hud:
        controls = self.controls
        return Hud(
            controls.mirrored, badge, self._rate(), tuple(self._transcript), hint, self._gestures, refused,
            controls.message, controls.help,
        )  # fmt: skip

    def _rate(self) -> float | None:
        """Frames shown a second, over the last thirty."""
        span = self._shown[-1] - self._shown[0] if self._shown else 0.0
        return (len(self._shown) - 1) / span if span > 0 else None

    def _save_picture(self) -> str:
        import cv2

        if self._drawn is None:
            return "nothing to save yet"
        path = free_name(self._keep, "picture", ".png")
        with writing(path) as stream:
            stream.write(cv2.imencode(".png", self._drawn)[1].tobytes())
        return f"saved {path.name}"

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
