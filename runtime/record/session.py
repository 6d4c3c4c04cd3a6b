"""`last-edge record`: one pass over a source, what is asked for meanwhile, and what it leaves in the store."""

import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from last_edge.clips import ClipStore
from last_edge.clips.store import HEADER
from last_edge.clips.writer import append_clips
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.files import check_free, locked
from last_edge.runtime.pipeline.feed import Feed, open_feed
from last_edge.runtime.pipeline.pipeline import NOTHING, STAGES, Item, Pipeline, Timings
from last_edge.runtime.recognise.adapt import HandVote
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.record.journal import Journal, about, rescue
from last_edge.runtime.record.options import RecordOptions, RecordSummary, counts_of, last_of
from last_edge.runtime.record.takes import Take, TakeCutter, why_not
from last_edge.runtime.record.target import Target, Wanted, check_same
from last_edge.runtime.sources import Frame
from last_edge.runtime.view.drawing import ACCENT, SkeletonView, bar, darken, text
from last_edge.runtime.view.presenter import PAUSE_MS
from last_edge.runtime.view.window import Action, Controls, Display, has_screen
from last_edge.skeleton import Layout, get_layout
from last_edge.skeleton.clip import Units

OnNotice = Callable[[str], None]
LIVE_SECONDS, LIVE_COUNTDOWN_S, LIVE_COUNT = 2.5, 3.0, 10
LEAST_FRAMES = 5
UNSEEN_S = 1.0
STEP = 16
"""Every sixteenth pixel says how light a picture is."""
MOST_REFUSED = 5
"""Takes of a camera that may fail in a row: who cannot be seen five times needs light, not a sixth."""
KEYS = "r: once more   u: undo   space: pause   m: mirror   q: end"


def record(
    store: Path, source: str, *, options: RecordOptions, on_notice: OnNotice = lambda text: None
) -> RecordSummary:
    """Record takes into a new or an older store. Ctrl-C or q ends early and keeps what was taken.

    Raises `UsageError` when the store holds other points or a file is to give several labels, `InputError` when no
    take is worth keeping, `MissingError` without the camera or the landmark model, and `UsageError` where another
    process records into this store.
    """
    with locked(store):
        older = rescue(store, on_notice=on_notice)
        if older is None:
            check_free(store, force=False, marker=HEADER, option="STORE")
        wanted = None if options.bundle is None else Wanted.of(options.bundle)
        layout = get_layout("mediapipe_hand21") if wanted is None else wanted.spec.layout
        with open_feed(
            source, layout=layout, detector=options.detector, hand=options.hand, landmarks_by=options.landmarks_by,
            every=options.every, detect_every=options.detect_every, images=options.images, person=options.person,
            bodies=1 if wanted is None else wanted.spec.bodies,
        ) as feed:  # fmt: skip
            session = RecordSession(store, older, feed, wanted=wanted, options=options, on_notice=on_notice)
            with closing(session.view):
                session.play()
            return session.finish()


class RecordSession:
    """One pass over a source. Each take is on disk before the next begins; `finish` puts them into the store."""

    def __init__(
        self, store: Path, older: ClipStore | None, feed: Feed, *, wanted: Wanted | None, options: RecordOptions,
        on_notice: OnNotice,
    ) -> None:  # fmt: skip
        source = feed.source
        self._target = Target(feed.layout, feed.units, wanted=wanted, hand=options.hand)
        if older is not None:
            check_same(store, layout=older.layout, units=older.units, target=self._target)
        if not source.live and len(options.labels) > 1:
            raise UsageError("a file is of one label", where=source.name, got=", ".join(options.labels))
        self._store, self._older, self._feed, self._options = store, older, feed, options
        self._source, self._notices = source, feed.notices
        self._on_notice = on_notice
        self._count = options.count or (LIVE_COUNT if source.live else None)
        countdown_s = LIVE_COUNTDOWN_S if source.live else 0.0
        self._cutter = TakeCutter(
            seconds=options.seconds or (LIVE_SECONDS if source.live else None),
            countdown_s=countdown_s if options.countdown_s is None else options.countdown_s,
        )
        self._hand, self._held = HandVote(), NOTHING
        self._journal = Journal(store)
        self._ids = set() if older is None else set(older.index.source_id.tolist())
        self.kept = dict.fromkeys(options.labels, 0)
        self.refused, self.stopped = 0, False
        self._failed, self._why, self.gave_up = 0, "", ""
        self._announced = ""
        self._seen_s: float | None = None
        self._aspect = math.inf
        self.view = RecordView(
            feed.layout, feed.units, window=options.window, mirrored=source.live,
            actions={"r": self.retake, "u": lambda: self.undo() or "there is no take of this session"},
        )  # fmt: skip

    @property
    def label(self) -> str | None:
        """What is to be signed now; None when all takes are there."""
        return next((label for label, kept in self.kept.items() if self._count is None or kept < self._count), None)

    def play(self) -> None:
        """Every frame, until the source ends, all takes are there or the user stops."""
        pipeline = Pipeline(
            self._source, landmarks=self._find_points, recognise=lambda item: None, timings=Timings(STAGES),
            live=self._source.live,
        )  # fmt: skip
        try:
            with closing(iter(pipeline)) as items:
                for item in items:
                    self._take(item)
                    if self.label is None or self.stopped or self.gave_up:
                        break
                else:
                    self._judge(self._cutter.finish())
        except KeyboardInterrupt:
            self.stopped = True
        self._tell()

    def retake(self) -> str:
        """Begin this take anew; or, in the count-down, the one before, which is thrown away."""
        running = self._cutter.taking
        self._cutter.again()
        return "once more" if running else self.undo() or "once more"

    def undo(self) -> str:
        """Throw the last take of this session away; what was done, "" where there is none."""
        if not (dropped := self._journal.drop_last()):
            return ""
        label = next(label for label in reversed(self.kept) if self.kept[label])
        self.kept[label] -= 1
        self._ids.discard(dropped)
        return f"{label}: the last take is thrown away"

    def finish(self) -> RecordSummary:
        """Put every take into the store; `InputError` when there is none and no store either."""
        clips, store = self._journal.clips(), self._older
        drop = [number for label in dict.fromkeys(clip.label for clip in clips) for number in self._outdated(label)]
        if clips:
            store = append_clips(self._store, clips, about=about(self._target.units), drop=drop)
            self._journal.clear()
        if store is None:
            why = f", the last: {self._why.removeprefix('once more: ')}" if self._why else ""
            got, hint = f"{self.refused} that show too little{why}", "--least-seen, or another --landmarks"
            raise InputError("no take is worth keeping", where=self._source.name, got=got, hint=hint)
        return RecordSummary(
            store=str(self._store), source=self._source.name, layout=store.layout.name, units=store.units,
            kept=self.kept, refused=self.refused, removed=len(drop), clips=len(store), counts=counts_of(store),
            sha256=store.sha256, notices=list(self._notices), lost=self._source.lost, stopped=self.stopped,
            gave_up=self.gave_up,
        )  # fmt: skip

    def _outdated(self, label: str | None) -> list[int]:
        """The older clips that those kept under a label replace; a mirrored one's label is the other direction's."""
        retake = self._options.retake
        if self._older is None or label is None:
            return []
        return last_of(self._older, label, self._options.subject, count=retake)

    def _find_points(self, item: Item) -> None:
        item.looked = self._feed.looks_at(item.frame)
        if item.looked:
            self._held = self._feed.points(item.frame)
        item.points, item.side = self._held, self._feed.side

    def _take(self, item: Item) -> None:
        frame, cutter = item.frame, self._cutter
        self._hand.add(item.side)
        self._announce()
        clip = "" if self._source.live else frame.clip
        seen, whole = self._target.sees(item.points), None
        if frame.image is not None:
            self._aspect = frame.image.shape[1] / frame.image.shape[0]
        if item.looked:
            light = math.nan if frame.image is None else float(frame.image[::STEP, ::STEP].mean())
            whole = cutter.push(item.points, frame.timestamp_s, seen=seen, clip=clip, light=light)
        paused = self.view.show(
            frame, item.points, headline=self._headline(), ready_in_s=cutter.ready_in_s, done=cutter.done,
            note=self._note(frame.timestamp_s, seen),
        )  # fmt: skip
        if paused:
            cutter.again()
        self._judge(whole)
        self.stopped = self.stopped or self.view.controls.stopped
        self._tell()

    def _judge(self, take: Take | None) -> None:
        """Keep a take that shows enough."""
        label = self.label
        if take is None or label is None:
            return
        take = take.trimmed()
        if why := why_not(take, least_seen=self._options.least_seen, least_frames=LEAST_FRAMES, aspect=self._aspect):
            self._refuse(label, why)
            return
        self._failed, self._why = 0, ""
        whose = {"label": label, "subject": self._options.subject, "split": self._options.split}
        name, setup = self._free_id(label), self._feed.detector.model if self._feed.detector else ""
        others = [*self.kept, *(() if self._older is None else self._older.labels)]
        clip = self._target.clip(
            take, seen=self._hand.hand, others=others, **whose, source_id=name, camera=self._source.name, setup=setup
        )
        self._hand.clear()
        self._journal.add(clip)
        self._ids.add(name)
        self.kept[label] += 1
        shown = "" if clip.label == label else f", mirrored for the bundle and kept as {clip.label!r}"
        self._notices.append(f"{name}: {take.frames} frames, {take.fps:.1f} a second, {take.seen:.0%} seen{shown}")

    def _refuse(self, label: str, why: str) -> None:
        """A take that shows too little: say why, and give up on a camera that shows nothing again and again."""
        self.refused, self._failed, self._why = self.refused + 1, self._failed + 1, f"once more: {why}"
        self._hand.clear()
        self._notices.append(f"{label}: not kept: {why}")
        if self._source.live and self._failed >= MOST_REFUSED:
            self.gave_up = f"{MOST_REFUSED} takes of {label} in a row were not kept: {why}"
            self._notices.append(f"stopped: {self.gave_up}")

    def _free_id(self, label: str) -> str:
        number = 1
        while (name := f"{self._options.subject}/{label}/{number:03d}") in self._ids:
            number += 1
        return name

    def _note(self, time_s: float, seen: bool) -> str:
        """What keeps this take, or kept the last one, from being of use."""
        self._seen_s = time_s if seen or self._seen_s is None else self._seen_s
        if time_s - self._seen_s >= UNSEEN_S:
            return "no hand in view"
        return "" if self._cutter.taking else self._why

    def _headline(self) -> str:
        label = self.label
        of = f" of {self._count}" if self._count else ""
        return "" if label is None else f"{label}, {self.kept[label] + 1}{of}"

    def _announce(self) -> None:
        """Tell a user without a window what to sign, once a take, and when to begin."""
        if not self._source.live or self._options.window:
            return
        said = f"{self._headline()}: {'now' if self._cutter.taking else 'get ready'}"
        if said != self._announced:
            self._announced = said
            self._notices.append(said)

    def _tell(self) -> None:
        for notice in self._feed.unread():
            self._on_notice(notice)


class RecordView:
    """Shows nothing where no window is wanted; `MissingError` when one is and there is no screen.

    actions: what the keys r and u do. mirrored: how the window begins; what is recorded never is.
    """

    def __init__(
        self, layout: Layout, units: Units, *, window: bool, mirrored: bool, actions: dict[str, Action]
    ) -> None:
        if window and not has_screen():
            raise MissingError("there is no screen to open a window on", hint="--no-window")
        self._skeleton = SkeletonView(layout, units)
        self._display = Display() if window else None
        self.controls = Controls(actions, mirrored=mirrored)

    def show(
        self, frame: Frame, points: Points, *, headline: str, ready_in_s: float, done: float, note: str = ""
    ) -> bool:
        """Show one frame with its (M, V, C) points; whether the user paused meanwhile.

        headline: what is recorded. ready_in_s: left of the count-down. done: share of the take. note: what is wrong.
        """
        if self._display is None:
            return False
        canvas = self._skeleton.on(frame.image, points)
        if self.controls.mirrored:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
        darken(canvas, (0.0, 0.0), (1.0, 0.12))
        text(canvas, headline, (0.015, 0.08), size=1.2, colour=ACCENT)
        if ready_in_s > 0:
            text(canvas, str(math.ceil(ready_in_s)), (0.54, 0.6), size=6.0, colour=ACCENT, align_right=True)
        else:
            text(canvas, "recording", (0.97, 0.08), size=1.3, align_right=True)
        if note:
            darken(canvas, (0.0, 0.78), (1.0, 0.88))
            text(canvas, note, (0.015, 0.85), size=1.1, colour=ACCENT)
        darken(canvas, (0.0, 0.9), (1.0, 1.0))
        bar(canvas, 0.91, done, ACCENT)
        text(canvas, self.controls.message or KEYS, (0.015, 0.97), size=0.6)
        self.controls.press(self._display.show(canvas))
        paused = self.controls.paused
        while self.controls.paused and not self.controls.stopped:
            self.controls.press(self._display.show(canvas, wait_ms=PAUSE_MS))
        return paused

    def close(self) -> None:
        """Close the window."""
        if self._display is not None:
            self._display.close()
