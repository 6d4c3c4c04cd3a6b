"""What `run` shows and saves: an overlay on every frame, in a window, a video and the picture of the surest frame; the
last seconds of points. A window says what its keys do.
"""

import errno
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import MissingError, UsageError
from last_edge.files import fsync_path, writing
from last_edge.runtime.recognise.decoding import Event, Prediction
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame
from last_edge.runtime.view.drawing import ACCENT, INK, PANEL_SHARE, Image, SkeletonView, bar, darken, text, text_size
from last_edge.runtime.view.window import Action, Controls, Display, has_screen
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

KEYS = {
    "q": "end", "space": "pause", "m": "mirror", "s": "save a picture", "p": "fp32 or int8", "+ -": "threshold",
    "c": "save the last seconds as a clip", "h": "this help",
}  # fmt: skip
WORDS_SHOWN = 6
EVENT_SHOWN_S = 1.5
LARGE, GESTURES_SHOWN = 2.2, 8
PAUSE_MS = 30
RATE_OVER = 30
UNSEEN_S = 1.0
HINT = "nobody in view: come into the picture, with light on you"
HAND_HINT = "no hand in view: hold it up, with light on it"
SUFFIXES = (".jpg", ".png")
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
CHECK_EVERY, LEAST_FREE = 30, 16 * 2**20
KEPT_S = 4.0


@dataclass(frozen=True)
class Hud:
    """badge: backend, precision, threshold. fps: frames shown a second. transcript: labels so far, newest last.

    hint: what keeps recognition from working. gestures: those to try, shown while there is nothing to recognise.
    refused: why what is seen is no event. message: the answer to the last key. help: list the keys.
    """

    mirrored: bool = False
    badge: str = ""
    fps: float | None = None
    transcript: tuple[str, ...] = ()
    hint: str = ""
    gestures: tuple[str, ...] = ()
    refused: str = ""
    message: str = ""
    help: bool = False


def draw_hud(canvas: Image, hud: Hud) -> None:
    """Draw it onto a frame."""
    rate = "" if hud.fps is None else f"{hud.fps:.0f} fps"
    if top := "   ".join(filter(None, (hud.badge, rate))):
        darken(canvas, (0.0, 0.0), (0.5, 0.05))
        text(canvas, top, (0.015, 0.035), size=0.55)
    if hud.transcript:
        darken(canvas, (0.36, 0.92), (1.0, 1.0))
        text(canvas, "  ".join(hud.transcript[-WORDS_SHOWN:]), (0.985, 0.975), size=0.7, align_right=True)
    for row, words in enumerate(filter(None, (hud.hint, hud.message))):
        darken(canvas, (0.2, 0.45 + 0.08 * row), (0.8, 0.53 + 0.08 * row))
        text(canvas, words, (0.215, 0.505 + 0.08 * row), size=0.8, colour=ACCENT)
    if hud.help:
        _draw_help(canvas)


def _draw_help(canvas: Image) -> None:
    darken(canvas, (0.0, 0.07), (0.4, 0.12 + 0.05 * len(KEYS)))
    for row, (key, does) in enumerate(KEYS.items()):
        down = 0.12 + 0.05 * row
        text(canvas, key, (0.015, down), size=0.6, colour=ACCENT)
        text(canvas, does, (0.09, down), size=0.6, colour=INK)


class Overlay:
    """Draws on the frames of one run."""

    def __init__(self, layout: Layout, units: Units) -> None:
        self._skeleton = SkeletonView(layout, units)
        self._event: Event | None = None

    def draw(
        self, image: Image | None, points: Points, *, time_s: float, prediction: Prediction | None, event: Event | None,
        milliseconds: Mapping[str, float], hud: Hud | None = None,
    ) -> Image:  # fmt: skip
        """A new (H, W, 3) image: `image`, or a dark canvas, with (M, V, C) points and the texts on it.

        hud: what a window shows besides; where it says so, picture and skeleton are mirrored, texts and points never.
        """
        canvas = self._skeleton.on(image, points)
        self._event = event or self._event
        if hud is not None and hud.mirrored:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
        darken(canvas, (0.0, 0.72), (PANEL_SHARE, 1.0))
        _draw_prediction(canvas, prediction)
        self._draw_event(canvas, time_s)
        words = "   ".join(f"{stage} {value:.1f} ms" for stage, value in milliseconds.items())
        text(canvas, words, (0.015, 0.97), size=0.55)
        if hud is not None:
            draw_hud(canvas, hud)
            _draw_waiting(canvas, hud, prediction)
        return canvas

    def _draw_event(self, canvas: Image, time_s: float) -> None:
        """The last event, for a moment, in the top right corner."""
        if self._event is None or time_s - self._event.end_s > EVENT_SHOWN_S:
            return
        words = f"{self._event.label} {self._event.probability:.0%}"
        share = text_size(words, canvas.shape[0], size=LARGE)[0] / canvas.shape[1]
        darken(canvas, (max(0.0, 0.94 - share), 0.0), (1.0, 0.16))
        text(canvas, words, (0.97, 0.11), size=LARGE, colour=ACCENT, align_right=True)


def _draw_waiting(canvas: Image, hud: Hud, prediction: Prediction | None) -> None:
    """Beside the guesses: what may be tried, or why what is seen is no event."""
    if prediction is None and hud.gestures:
        more = len(hud.gestures) - GESTURES_SHOWN
        words = f"try: {', '.join(hud.gestures[:GESTURES_SHOWN])}{f' and {more} more' if more > 0 else ''}"
        darken(
            canvas,
            (0.0, 0.64),
            (min(1.0, 0.03 + text_size(words, canvas.shape[0], size=0.7)[0] / canvas.shape[1]), 0.72),
        )
        text(canvas, words, (0.015, 0.695), size=0.7)
    elif prediction is not None and hud.refused:
        text(canvas, hud.refused, (0.015, 0.935), size=0.5)


def _draw_prediction(canvas: Image, prediction: Prediction | None) -> None:
    if prediction is None:
        text(canvas, "waiting for motion", (0.015, 0.78), size=0.9)
        return
    for row, guess in enumerate(prediction.top):
        down = 0.78 + 0.055 * row
        size, colour = (0.9, ACCENT) if row == 0 else (0.7, INK)
        bar(canvas, down, guess.probability, colour)
        text(canvas, f"{guess.label}  {guess.probability:.0%}", (0.015, down), size=size, colour=colour)


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

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._display is not None:
            self._display.close()
        if self._writer is not None:
            self._writer.finish() if kind is None else self._writer.discard()
        if self._snapshot is not None and kind is None:
            self._snapshot.finish()


class Snapshot:
    """Takes every drawn frame, keeps the surest and writes it at the end; `UsageError` for an unknown suffix."""

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError("cannot save a picture of this kind", where=path, expected=" or ".join(SUFFIXES))
        self._path = path
        self._best: tuple[float, NDArray[np.uint8]] | None = None

    def offer(self, image: NDArray[np.uint8], probability: float) -> None:
        """Consider one drawn (H, W, 3) frame; 0 stands for a frame without a prediction."""
        if self._best is None or probability > self._best[0]:
            self._best = probability, image

    def finish(self) -> None:
        """Write the kept frame; nothing when none came."""
        import cv2

        if self._best is not None:
            _, content = cv2.imencode(self._path.suffix.lower(), self._best[1])
            with writing(self._path) as stream:
                stream.write(content.tobytes())


class VideoWriter:
    """Opens with the first frame, whose size all others must have.

    Raises `UsageError` for an unknown suffix, `MissingError` when this OpenCV cannot encode it, `OSError` when the disk
    is full, of which OpenCV says nothing: the last 16 MB are left free.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        if path.suffix.lower() not in CODECS:
            raise UsageError("cannot save a video of this kind", where=path, expected=" or ".join(CODECS))
        self._path, self._fps = path, fps
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._writer: Any | None = None
        self._written = 0

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append one (H, W, 3) frame."""
        if self._writer is None:
            import cv2

            self._path.parent.mkdir(parents=True, exist_ok=True)
            codec = CODECS[self._path.suffix.lower()]
            kind = cv2.VideoWriter.fourcc(*codec)
            writer = cv2.VideoWriter(str(self._partial), kind, self._fps, (image.shape[1], image.shape[0]))
            if not writer.isOpened():
                self._partial.unlink(missing_ok=True)
                raise MissingError(f"this OpenCV cannot encode {codec}", where=self._path, hint="--save FILE.avi")
            self._writer = writer
        if self._written % CHECK_EVERY == 0 and shutil.disk_usage(self._path.parent).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._writer.write(image)
        self._written += 1

    def finish(self) -> None:
        """Close the file and give it its name; nothing appears when no frame came."""
        if self._writer is None:
            return
        self._writer.release()
        fsync_path(self._partial)
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Close and remove what was written."""
        if self._writer is not None:
            self._writer.release()
        self._partial.unlink(missing_ok=True)


class ClipKeeper:
    """units: of the points. folder: where clips go; the first is `clip-001.npz`, and none is replaced."""

    def __init__(self, folder: Path, *, units: str) -> None:
        self._folder, self._units = folder, units
        self._frames: deque[tuple[float, Points]] = deque()

    def take(self, points: Points, time_s: float) -> None:
        """Add a frame's points (M, V, C); those of more than four seconds ago are forgotten."""
        self._frames.append((time_s, points))
        while time_s - self._frames[0][0] > KEPT_S:
            self._frames.popleft()

    def save(self) -> str:
        """Write what is kept, unlabelled, at its mean frame rate; says where, or why not."""
        if len(self._frames) < 2:
            return "nothing to save yet"
        seconds = self._frames[-1][0] - self._frames[0][0]
        path = free_name(self._folder, "clip", ".npz")
        with writing(path) as stream:
            np.savez(
                stream, frames=np.stack([points for _, points in self._frames]), lengths=np.array([len(self._frames)]),
                fps=np.array((len(self._frames) - 1) / seconds), units=np.array(self._units),
            )  # fmt: skip
        return f"saved {path.name}, {seconds:.1f} s"


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """The first of `stem-001`, `stem-002`, … that is not there."""
    number = 1
    while (path := folder / f"{stem}-{number:03d}{suffix}").exists():
        number += 1
    return path
