"""`last-edge run`: one pass of a bundle over a source, with an event file, overlay and timings."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from last_edge import records
from last_edge.errors import LastEdgeError
from last_edge.files import check_free, writing
from last_edge.names import is_background
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.landmarks import By, Detector
from last_edge.runtime.pipeline.feed import Feed, open_feed, source_of
from last_edge.runtime.pipeline.pipeline import Item, StageTiming
from last_edge.runtime.pipeline.watch import Pace, Watch
from last_edge.runtime.recognise.decoding import ClipResult, Event
from last_edge.runtime.recognise.model import Precision
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.service import Watchdog
from last_edge.runtime.sources import Frame, ImageOptions
from last_edge.runtime.view.presenter import ClipKeeper, Presenter
from last_edge.skeleton.people import Person

DECIMALS = 5
OnEvent = Callable[[Event], None]
OnNotice = Callable[[str], None]
THRESHOLD_STEP = 0.05


@dataclass(frozen=True)
class RunOptions:
    """What a run does besides recognising.

    events: file for one JSON object a line. save: annotated video. snapshot: picture of the surest frame.
    window: show the frames. keep: folder of what its keys s and c save. limit: stop after that many of the source.
    pace: `fast` works on every frame of a file; `real` plays it at its own rate and drops what comes too fast, as a
    live source always does. loop: play what has an end again and again.
    precision: None takes INT8 where the bundle has it. detector: None takes the one that feeds the bundle's layout.
    hand: which hand a hand detector follows. person: who is followed of several people in view. landmarks_by: the
    library that finds points in images; every: in one of so many. detect_every: as `create_landmarks` takes it.
    max_age_s: live, frames older than this are dropped where a newer one waits. threads: of the model; None for what
    `bench tune` found fastest, else 1. backend: what runs it. force: replace existing files. images: how a source's
    images are turned and timed.
    """

    events: Path | None = None
    save: Path | None = None
    snapshot: Path | None = None
    window: bool = False
    keep: Path = Path()
    limit: int | None = None
    pace: Pace = "fast"
    loop: bool = False
    precision: Precision | None = None
    detector: Detector | None = None
    hand: str = "first"
    person: Person = "largest"
    landmarks_by: By = "auto"
    every: int = 1
    detect_every: int = 1
    max_age_s: float | None = None
    threads: int | None = None
    backend: str = OnnxRuntimeCpu.name
    force: bool = False
    images: ImageOptions = field(default_factory=ImageOptions)
    recognise: RecogniseOptions = field(default_factory=RecogniseOptions)


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    frames: through every stage; captured: taken of the source; dropped: ahead of each stage, to keep up with a live
    source. queues: most frames that ever waited ahead of each stage. announced_frames: what the file's header says,
    None when it says nothing. pace: `live`, `real` or `fast`.
    frames_with_points: those that showed any point the bundle uses. layout, units: of `landmarks` in the event file.
    clips, clips_right: recordings predicted as a whole, and those of known class predicted right (None without any).
    timings_ms: percentiles of each stage, milliseconds a frame. notices: what the source or a stage had to say.
    lost: why a live source ended by itself. stopped: by the user before the end.
    """

    bundle: str
    model: str
    precision: str
    backend: str
    source: str
    pace: str
    detector: str
    layout: str
    units: str
    frames: int
    captured: int
    dropped: dict[str, int]
    queues: dict[str, int]
    announced_frames: int | None
    frames_with_points: int
    predictions: int
    events: int
    clips: int
    clips_right: int | None
    seconds: float
    timings_ms: dict[str, StageTiming]
    notices: list[str] = field(default_factory=list)
    lost: str = ""
    stopped: bool = False
    schema_version: int = 1


def run(
    bundle: Path, source: str, *, options: RunOptions | None = None, on_event: OnEvent | None = None,
    on_notice: OnNotice | None = None,
) -> RunSummary:  # fmt: skip
    """Recognise gestures in a source and return what was done.

    Ctrl-C, q or Escape in the window, and `limit` end a run early and still leave whole files. `on_event` is called
    for each event as it happens, `on_notice` with what the source has to say. Raises `InputError`, `UsageError`,
    `MissingError`.
    """
    options = options or RunOptions()
    for name, path in (("events", options.events), ("save", options.save), ("snapshot", options.snapshot)):
        if path is not None and (path.is_file() or path.is_dir() or not path.exists()):
            check_free(path, force=options.force, option=f"--{name}")
    with ExitStack() as stack:
        model = Recogniser.open(bundle, precision=options.precision, threads=options.threads, backend=options.backend)
        feed = stack.enter_context(
            open_feed(
                source_of(source, bundle),
                layout=model.layout,
                detector=options.detector,
                hand=options.hand,
                loop=options.loop,
                landmarks_by=options.landmarks_by,
                every=options.every,
                detect_every=options.detect_every,
                images=options.images,
                person=options.person,
                bodies=model.spec.bodies,
            )
        )
        log = stack.enter_context(event_log(options.events))
        session = Session(model, feed, log=log, options=options, on_event=on_event, on_notice=on_notice)
        stack.enter_context(session.presenter)
        session.play()
        summary = session.summary(bundle)
        log.summary(summary)
    return summary


class Session:
    """One model watching one feed: counts, draws, writes, and does what the window's keys ask for."""

    def __init__(
        self, model: Recogniser, feed: Feed, *, log: EventLog, options: RunOptions, on_event: OnEvent | None,
        on_notice: OnNotice | None,
    ) -> None:  # fmt: skip
        self._model, self._feed, self._log = model, feed, log
        self._on_event, self._on_notice = on_event or (lambda event: None), on_notice or (lambda text: None)
        self._stream = model.stream(layout=feed.layout, units=feed.units, hand=options.hand, options=options.recognise)
        self._watch = Watch(feed, self._stream, pace=options.pace, limit=options.limit, max_age_s=options.max_age_s)
        if options.recognise.early and model.rules is not None:
            wrong = f"{model.rules.early_wrong:.1%} of such answers were wrong where the rules were found"
            feed.notices.append(f"gestures are told before they end: {wrong}")
        self._watchdog = Watchdog()
        self._keeper = ClipKeeper(options.keep, units=feed.units)
        self._models = {model.precision: model}
        self.presenter = Presenter(
            feed.layout,
            feed.units,
            save=options.save,
            snapshot=options.snapshot,
            window=options.window,
            fps=feed.source.fps,
            keep=options.keep,
            mirrored=feed.source.live,
            gestures=tuple(label for label in model.labels if not is_background(label)),
            actions={
                "p": self._swap_precision,
                "+": lambda: self._move_threshold(THRESHOLD_STEP),
                "-": lambda: self._move_threshold(-THRESHOLD_STEP),
                "c": self._keeper.save,
            },
        )
        self._frames = self._seen = self._events = 0
        self._stopped, self._seconds = False, 0.0

    def play(self) -> None:
        """Every frame through every stage, until the source ends or the user stops."""
        began = time.perf_counter()
        try:
            with closing(iter(self._watch)) as items:
                self._stopped = not all(map(self._present, items))
        except KeyboardInterrupt:
            self._stopped = True
        self._watchdog.stopping()
        self._tell()
        events, clips = self._watch.finish()
        self._log_events(events)
        self._log_clips(clips)
        self._seconds = time.perf_counter() - began

    def _present(self, item: Item) -> bool:
        """The stage `present`: draw, count, write; False when the user stops."""
        if item.looked:
            self._keeper.take(item.points, item.frame.timestamp_s)
        seen = self._stream.adapter.sees(item.points)
        model, threshold = self._model, self._stream.decoder.threshold
        told = [event for _, event in item.events if event.counts]
        with self._watch.timings.measure("present", into=item.milliseconds):
            more = self.presenter.show(
                item.frame, item.points, prediction=item.prediction, event=told[-1] if told else None,
                milliseconds=item.milliseconds, seen=seen, refused=self._stream.refused,
                badge=f"{model.backend.name}  {model.precision}  from {threshold:.0%}",
            )  # fmt: skip
        if not self._frames:
            self._watchdog.ready()
        self._watchdog.alive()
        self._frames += 1
        self._seen += seen
        self._tell()
        self._log_clips(item.clips)
        self._log.frame(item, dropped=sum(self._watch.pipeline.dropped.values()))
        self._log_events(item.events)
        return more

    def _log_events(self, events: list[tuple[Frame, Event]]) -> None:
        for frame, event in events:
            self._events += event.counts
            self._log.event(event, frame=frame)
            self._on_event(event)

    def _swap_precision(self) -> str:
        """The key p: go on with the bundle's other precision; each is loaded once."""
        other = "fp32" if self._model.precision == "int8" else "int8"
        try:
            model = self._models.get(other) or self._model.with_precision(cast(Precision, other))
        except LastEdgeError as error:
            return error.what
        self._feed.notices.append(f"precision {self._model.precision} → {other}")
        self._model = self._models[other] = model
        self._stream.use(model.backend, self._stream.rejection)
        return f"now {other}"

    def _move_threshold(self, step: float) -> str:
        """The keys + and -: change the least probability of an event."""
        decoder = self._stream.decoder
        decoder.threshold = round(min(max(decoder.threshold + step, THRESHOLD_STEP), 1.0), 2)
        return f"events from {decoder.threshold:.0%}"

    def _log_clips(self, clips: list[ClipResult]) -> None:
        for clip in clips:
            self._log.clip(clip)

    def _tell(self) -> None:
        """Pass on what other threads had to say since."""
        for text in self._feed.unread():
            self._log.notice(text)
            self._on_notice(text)

    def summary(self, bundle: Path) -> RunSummary:
        """What was done so far."""
        model, feed, watch = self._model, self._feed, self._watch
        return RunSummary(
            bundle=str(bundle), model=model.name, precision=model.precision, backend=model.backend.name,
            source=feed.source.name, pace=watch.pace, detector=feed.detector.model if feed.detector else "",
            layout=feed.layout.name, units=feed.units, frames=self._frames, captured=watch.pipeline.captured,
            dropped=watch.pipeline.dropped, queues=watch.pipeline.longest,
            announced_frames=feed.source.announced_frames, frames_with_points=self._seen, predictions=watch.predictions,
            events=self._events, clips=watch.clips.predicted,
            clips_right=watch.clips.right if watch.clips.known else None, seconds=round(self._seconds, 3),
            timings_ms=watch.timings.summary(), notices=list(feed.notices), lost=feed.source.lost,
            stopped=self._stopped,
        )  # fmt: skip


class EventLog:
    """The event file: one JSON object a line for every frame, event, clip and notice, and a summary as the last line.

    Writes to an open binary stream; does nothing without one.
    """

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
