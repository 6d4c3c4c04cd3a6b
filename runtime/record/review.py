"""Looking at the takes of a store again: each is played, and those that are no good are taken out."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from last_edge.clips import ClipStore
from last_edge.clips.writer import append_clips
from last_edge.errors import InputError, MissingError
from last_edge.runtime.record.takes import Take
from last_edge.runtime.view.drawing import ACCENT, SkeletonView, darken, text
from last_edge.runtime.view.drawing import Image as Canvas
from last_edge.runtime.view.window import Controls, Display, has_screen

KEYS = "n: next   b: before   d: take out   q: end"


@dataclass(frozen=True)
class TakeRow:
    """One take: its place, what it shows of whom, its length, and the share of frames with a hand from the first to the
    last that shows it, in percent.
    """

    number: int
    id: str
    label: str
    subject: str
    seconds: float
    seen: float


def takes_of(store: ClipStore, *, labels: tuple[str, ...] = ()) -> list[TakeRow]:
    """Every take of some labels, of all where none is named, in the order of the store."""
    rows = []
    for number in range(len(store)):
        clip = store.clip(number)
        if labels and clip.label not in labels:
            continue
        shown = np.asarray(~np.isnan(clip.coords[:, :, list(store.layout.hands), 0]).all(axis=(0, 2)))
        take = Take(clip.coords, np.arange(clip.frames) / clip.fps, float(shown.mean()), shown).trimmed()
        seen = round(100 * take.seen, 1) if shown.any() else 0.0
        seconds = round((clip.frames - 1) / clip.fps, 2)
        rows.append(TakeRow(number, clip.source_id, clip.label or "", clip.subject, seconds, seen))
    return rows


def take_out(path: Path, numbers: list[int]) -> ClipStore:
    """The store without some takes; `InputError` where none would be left."""
    store = ClipStore.open(path)
    if len(set(numbers)) >= len(store):
        raise InputError("no take would be left", where=path, hint=f"rm -r {path}")
    return append_clips(path, [], drop=numbers) if numbers else store


def newest(store: ClipStore, count: int, *, labels: tuple[str, ...] = ()) -> list[int]:
    """Numbers of the newest takes of some labels, or of all, at most `count`."""
    return [row.number for row in takes_of(store, labels=labels)][-count:]


def review(path: Path, *, labels: tuple[str, ...] = ()) -> list[TakeRow]:
    """Play the takes in a window, again and again until a key leads on; those that were taken out.

    Raises `MissingError` without a screen.
    """
    if not has_screen():
        hint = f"last-edge record {path} --takes lists them, --undo takes the newest out"
        raise MissingError("there is no screen to play takes on", hint=hint)
    store = ClipStore.open(path)
    rows = takes_of(store, labels=labels)
    with closing(_Player(store, rows)) as player:
        player.play()
    take_out(path, [rows[place].number for place in sorted(player.out)])
    return [rows[place] for place in sorted(player.out)]


class _Player:
    """The window; out: places of the takes to be taken out."""

    def __init__(self, store: ClipStore, rows: list[TakeRow]) -> None:
        self._store, self._rows, self._place = store, rows, 0
        self.out: set[int] = set()
        self._display = Display()
        self._controls = Controls(
            {"n": lambda: self._go(1), "b": lambda: self._go(-1), "d": self._toggle}, mirrored=False
        )

    def play(self) -> None:
        """Until q, or the key that leads past the last take."""
        while self._place < len(self._rows) and not self._controls.stopped:
            self._play_one()

    def _play_one(self) -> None:
        row = self._rows[self._place]
        clip, view = self._store.clip(row.number), SkeletonView(self._store.layout, self._store.units)
        wait_ms = max(1, round(1000 / clip.fps))
        place = self._place
        while place == self._place and not self._controls.stopped:
            for frame in range(clip.frames):
                canvas = view.on(None, clip.coords[:, frame])
                self._draw(canvas, row)
                self._controls.press(self._display.show(canvas, wait_ms=wait_ms))
                if place != self._place or self._controls.stopped:
                    return

    def _draw(self, canvas: Canvas, row: TakeRow) -> None:
        darken(canvas, (0.0, 0.0), (1.0, 0.12))
        head = f"{row.label}, {row.subject}: {self._place + 1} of {len(self._rows)}, {row.seen:.0f}% seen"
        text(canvas, head + ("  TAKEN OUT" if self._place in self.out else ""), (0.015, 0.08), size=1.0, colour=ACCENT)
        darken(canvas, (0.0, 0.9), (1.0, 1.0))
        text(canvas, self._controls.message or KEYS, (0.015, 0.97), size=0.6)

    def _go(self, step: int) -> str:
        self._place = max(0, self._place + step)
        return ""

    def _toggle(self) -> str:
        self.out ^= {self._place}
        return "taken out at the end" if self._place in self.out else "stays"

    def close(self) -> None:
        """Close the window."""
        self._display.close()
