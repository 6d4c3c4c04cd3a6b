"""`last-edge run`: one pass of a bundle over a source, with events, overlay and timings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from last_edge.errors import InputError
from last_edge.files import check_free
from last_edge.runtime.adapt import Adapter
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.clip_collector import ClipCollector
from last_edge.runtime.event_log import EventLog, event_log
from last_edge.runtime.landmarks import Detector, create_landmarks, detector_for
from last_edge.runtime.landmarks.common import LandmarkSource
from last_edge.runtime.model import DeployedModel, Precision, load_model
from last_edge.runtime.presenter import Presenter
from last_edge.runtime.recognise import RecogniseOptions, Recogniser
from last_edge.runtime.results import Event
from last_edge.runtime.sources import Frame, Source, open_source
from last_edge.runtime.timings import StageTiming, Timings
from last_edge.runtime.window import Points
from last_edge.skeleton import Layout

STAGES = ("capture", "landmarks", "recognise", "present")
"""Reading the frame; finding points; window, model and decoding; drawing, saving and showing."""

OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class RunOptions:
    """What a run does besides recognising.

    events: file for one JSON object a line. save: annotated video. snapshot: picture of the surest frame.
    window: show the frames. limit: stop after that many.
    precision: None takes INT8 where the bundle has it. detector: None takes the one that feeds the bundle's layout.
    hand: which hand a hand detector follows. threads: of the model; None for what `bench tune` found fastest, else 1.
    backend: what runs the model. force: replace existing files.
    """

    events: Path | None = None
    save: Path | None = None
    snapshot: Path | None = None
    window: bool = False
    limit: int | None = None
    precision: Precision | None = None
    detector: Detector | None = None
    hand: str = "first"
    threads: int | None = None
    backend: str = OnnxRuntimeCpu.name
    force: bool = False
    recognise: RecogniseOptions = field(default_factory=RecogniseOptions)


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    frames: decoded and processed; announced_frames: what the file's header says, None when it says nothing.
    frames_with_points: those that showed any point the bundle uses. layout, units: of `landmarks` in the event file.
    clips, clips_right: recordings predicted as a whole, and those of known class predicted right (None without any).
    timings_ms: percentiles of each stage, milliseconds a frame. stopped: by the user before the end.
    """

    bundle: str
    model: str
    precision: str
    backend: str
    source: str
    detector: str
    layout: str
    units: str
    frames: int
    announced_frames: int | None
    frames_with_points: int
    predictions: int
    events: int
    clips: int
    clips_right: int | None
    seconds: float
    timings_ms: dict[str, StageTiming]
    stopped: bool = False
    schema_version: int = 1


def run(bundle: Path, source: str, *, options: RunOptions | None = None, on_event: OnEvent | None = None) -> RunSummary:
    """Recognise gestures in a source and return what was done.

    Ctrl-C, q or Escape in the window, and `limit` end a run early and still leave whole files. `on_event` is called
    for each event as it happens. Raises `InputError`, `UsageError`, `MissingError`.
    """
    options = options or RunOptions()
    for path in filter(None, (options.events, options.save, options.snapshot)):
        if path.is_file() or path.is_dir():
            check_free(path, force=options.force)
    with ExitStack() as stack:
        model = load_model(bundle, precision=options.precision, threads=options.threads, backend=options.backend)
        opened = stack.enter_context(open_source(source, layout=model.spec.layout))
        detector = _detector(opened, model, options)
        if detector is not None:
            stack.callback(detector.close)
        log = stack.enter_context(event_log(options.events))
        one = _Run(model, opened, detector, log, options, on_event)
        stack.enter_context(one.presenter)
        one.play()
        summary = one.summary(bundle)
        log.summary(summary)
    return summary


def _detector(source: Source, model: DeployedModel, options: RunOptions) -> LandmarkSource | None:
    """The landmark detector of a source of images; None for a source of points."""
    if source.layout is not None:
        return None
    kind = options.detector or detector_for(model.spec.layout)
    return create_landmarks(kind, hand=options.hand, layout=model.spec.layout.name)


class _Run:
    """The state of one pass."""

    def __init__(
        self,
        model: DeployedModel,
        source: Source,
        detector: LandmarkSource | None,
        log: EventLog,
        options: RunOptions,
        on_event: OnEvent | None,
    ) -> None:
        self._model, self._source, self._detector, self._log = model, source, detector, log
        self._options, self._on_event = options, on_event or (lambda event: None)
        self.layout: Layout = detector.layout if detector else _layout(source)
        adapter = Adapter(self.layout, source.units, spec=model.spec, target_units=model.units, hand=options.hand)
        self._recogniser = Recogniser(
            model.backend, adapter=adapter, labels=model.labels, options=_with_threshold(options.recognise, model)
        )
        self.presenter = Presenter(
            self.layout,
            source.units,
            save=options.save,
            snapshot=options.snapshot,
            window=options.window,
            fps=source.fps,
        )
        self._adapter, self._clips = adapter, ClipCollector(self._recogniser, adapter, log)
        self.timings = Timings(STAGES)
        self.frames = self.seen = self.predictions = self.events = 0
        self.stopped = False

    def play(self) -> None:
        """Every frame through every stage, in order."""
        began = time.perf_counter()
        try:
            for frame in self._timed_frames():
                if not self._step(frame):
                    self.stopped = True
                    break
        except KeyboardInterrupt:
            self.stopped = True
        self._clips.finish()
        self.seconds = time.perf_counter() - began

    def _timed_frames(self) -> Iterator[Frame]:
        """Frames with the time each took to arrive, at most `limit`."""
        frames = iter(self._source)
        while self._options.limit is None or self.frames < self._options.limit:
            self.timings.start_frame()
            began = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            self.timings.add("capture", (time.perf_counter() - began) * 1000)
            yield frame

    def _step(self, frame: Frame) -> bool:
        """One frame through landmarks, recognition and presentation; False when the user stops."""
        with self.timings.measure("landmarks"):
            points = self._points(frame)
        if self._clips.take(frame, points):  # predicts the recording before as a whole: no frame's work
            self._recogniser.start_clip()
        with self.timings.measure("recognise"):
            event = self._recognise(frame, points)
        with self.timings.measure("present"):
            more = self.presenter.show(
                frame, points, prediction=self._recogniser.current, event=event, milliseconds=self.timings.current
            )
        self._count(points)
        self._log.frame(frame, points, self._recogniser.current, self.timings.current)
        if event is not None:
            self.events += 1
            self._log.event(event, frame=frame)
            self._on_event(event)
        return more

    def _points(self, frame: Frame) -> Points:
        """(M, V, C) points of a frame, detected or given."""
        if frame.points is not None:
            return frame.points
        assert self._detector is not None and frame.image is not None
        return self._detector(frame.image, frame.timestamp_s)[None]

    def _recognise(self, frame: Frame, points: Points) -> Event | None:
        before = self._recogniser.current
        event = self._recogniser.push(points, frame.timestamp_s)
        self.predictions += self._recogniser.current is not None and self._recogniser.current is not before
        return event

    def _count(self, points: Points) -> None:
        self.frames += 1
        self.seen += self._adapter.sees(points)

    def summary(self, bundle: Path) -> RunSummary:
        """What was done so far."""
        return RunSummary(
            bundle=str(bundle),
            model=self._model.name,
            precision=self._model.precision,
            backend=self._model.backend.name,
            source=self._source.name,
            detector=self._detector.model if self._detector else "",
            layout=self.layout.name,
            units=self._source.units,
            frames=self.frames,
            announced_frames=self._source.announced_frames,
            frames_with_points=self.seen,
            predictions=self.predictions,
            events=self.events,
            clips=self._clips.predicted,
            clips_right=self._clips.right if self._clips.known else None,
            seconds=round(self.seconds, 3),
            timings_ms=self.timings.summary(),
            stopped=self.stopped,
        )


def _layout(source: Source) -> Layout:
    if source.layout is None:
        raise InputError("a source with neither images nor points", where=source.name)
    return source.layout


def _with_threshold(options: RecogniseOptions, model: DeployedModel) -> RecogniseOptions:
    """The options with the bundle's own threshold, where it has one and the user set none."""
    if options.decoding.threshold is not None or model.accept is None:
        return options
    return replace(options, decoding=replace(options.decoding, threshold=model.accept))
