"""The state of one pass over a source: what each stage does with a frame, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from last_edge.errors import InputError
from last_edge.runtime.actions.event_log import EventLog
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.landmarks import Detector
from last_edge.runtime.landmarks.mediapipe import LandmarkSource
from last_edge.runtime.pipeline.actions import Actions
from last_edge.runtime.pipeline.clip_collector import ClipCollector
from last_edge.runtime.pipeline.options import RunSummary
from last_edge.runtime.pipeline.pipeline import STAGES, Item, Pipeline
from last_edge.runtime.pipeline.timings import Timings
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.finder import Finder
from last_edge.runtime.recognise.model import DeployedModel, Precision
from last_edge.runtime.recognise.recognise import RecogniseOptions, Recogniser
from last_edge.runtime.recognise.results import ClipResult, Event
from last_edge.runtime.sources import Source
from last_edge.runtime.view.presenter import Presenter
from last_edge.runtime.view.saving import ClipKeeper
from last_edge.skeleton import Layout

Pace = Literal["fast", "real"]
OnEvent = Callable[[Event], None]
OnNotice = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """What a run does besides recognising.

    events: file for one JSON object a line. save: annotated video. snapshot: picture of the surest frame.
    window: show the frames. keep: folder of what its keys s and c save. limit: stop after that many of the source.
    pace: `fast` works on every frame of a file; `real` plays it at its own rate and drops what comes too fast, as a
    live source always does. loop: play what has an end again and again.
    precision: None takes INT8 where the bundle has it. detector: None takes the one that feeds the bundle's layout.
    hand: which hand a hand detector follows. threads: of the model; None for what `bench tune` found fastest, else 1.
    backend: what runs the model. force: replace existing files.
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
    threads: int | None = None
    backend: str = OnnxRuntimeCpu.name
    force: bool = False
    recognise: RecogniseOptions = field(default_factory=RecogniseOptions)


class Session:
    """One model on one source. Each stage touches its own things alone; `present` counts, writes and takes keys.

    swap: loads the bundle in the precision of its keyword.
    """

    def __init__(
        self,
        model: DeployedModel,
        source: Source,
        detector: LandmarkSource | None,
        *,
        swap: Callable[..., DeployedModel],
        log: EventLog,
        options: RunOptions,
        on_event: OnEvent | None = None,
        on_notice: OnNotice | None = None,
    ) -> None:
        self._source, self._detector, self._log = source, detector, log
        self._options, self._on_event = options, on_event or (lambda event: None)
        self._on_notice = on_notice or (lambda text: None)
        self._notices: list[str] = []
        self.layout: Layout = detector.layout if detector else _layout(source)
        adapter = Adapter(self.layout, source.units, spec=model.spec, target_units=model.units, hand=options.hand)
        self._recogniser = Recogniser(
            model.backend,
            adapter=adapter,
            labels=model.labels,
            options=with_threshold(options.recognise, model),
            rejection=model.rejection,
        )
        self._finder = Finder(detector, self._notices.append) if detector else None
        self._actions = Actions(model, self._recogniser, load=swap, notice=self._notices.append)
        self._keeper = ClipKeeper(options.keep, units=source.units)
        self.presenter = Presenter(
            self.layout,
            source.units,
            save=options.save,
            snapshot=options.snapshot,
            window=options.window,
            fps=source.fps,
            keep=options.keep,
            mirrored=source.live,
            actions={**self._actions.by_key, "c": self._keeper.save},
        )
        self._adapter, self._clips = adapter, ClipCollector(self._recogniser, adapter)
        self.timings = Timings(STAGES)
        self.frames = self.seen = self.predictions = self.events = 0
        self.stopped, self.seconds = False, 0.0
        self._told = 0
        source.notice = self._notices.append
        if said := source.describe():
            self._notices.append(said)
        self._pipeline = Pipeline(
            source,
            landmarks=self._find_points,
            recognise=self._recognise,
            timings=self.timings,
            live=self._pace != "fast",
            paced=self._pace == "real",
            limit=options.limit,
        )

    @property
    def _pace(self) -> str:
        return "live" if self._source.live else self._options.pace

    def play(self) -> None:
        """Every frame through every stage, until the source ends or the user stops."""
        began = time.perf_counter()
        try:
            with closing(iter(self._pipeline)) as items:
                self.stopped = not all(map(self._present, items))
        except KeyboardInterrupt:
            self.stopped = True
        self._tell()
        self._log_clips(self._clips.finish())
        self.seconds = time.perf_counter() - began

    def _find_points(self, item: Item) -> None:
        """The stage `landmarks`: (M, V, C) points of a frame, detected or given."""
        frame = item.frame
        with self.timings.measure("landmarks", into=item.milliseconds):
            if frame.points is not None:
                item.points = frame.points
                return
            assert self._finder is not None
            item.points = self._finder(frame)

    def _recognise(self, item: Item) -> None:
        """The stage `recognise`. The recording before is predicted as a whole outside of any frame's time."""
        frame = item.frame
        if self._clips.starts_another(frame):
            item.clips += self._clips.finish()
            self._recogniser.start_clip()
        self._clips.take(frame, item.points)
        with self.timings.measure("recognise", into=item.milliseconds):
            before = self._recogniser.current
            event = self._recogniser.push(item.points, frame.timestamp_s)
            item.prediction = self._recogniser.current
        self.predictions += item.prediction is not None and item.prediction is not before
        item.events += [(frame, event)] if event else []

    def _present(self, item: Item) -> bool:
        """The stage `present`: draw, count, write; False when the user stops."""
        self._keeper.take(item.points, item.frame.timestamp_s)
        seen = self._adapter.sees(item.points)
        with self.timings.measure("present", into=item.milliseconds):
            more = self.presenter.show(
                item.frame,
                item.points,
                prediction=item.prediction,
                event=item.events[-1][1] if item.events else None,
                milliseconds=item.milliseconds,
                seen=seen,
                badge=self._actions.badge,
            )
        self.frames += 1
        self.seen += seen
        self._tell()
        self._log_clips(item.clips)
        self._log.frame(item, dropped=sum(self._pipeline.dropped.values()))
        for frame, event in item.events:
            self.events += 1
            self._log.event(event, frame=frame)
            self._on_event(event)
        return more

    def _log_clips(self, clips: list[ClipResult]) -> None:
        for clip in clips:
            self._log.clip(clip)

    def _tell(self) -> None:
        """Pass on what other threads had to say since."""
        for text in self._notices[self._told :]:
            self._told += 1
            self._log.notice(text)
            self._on_notice(text)

    def summary(self, bundle: Path) -> RunSummary:
        """What was done so far."""
        model = self._actions.model
        return RunSummary(
            bundle=str(bundle),
            model=model.name,
            precision=model.precision,
            backend=model.backend.name,
            source=self._source.name,
            pace=self._pace,
            detector=self._detector.model if self._detector else "",
            layout=self.layout.name,
            units=self._source.units,
            frames=self.frames,
            captured=self._pipeline.captured,
            dropped=self._pipeline.dropped,
            queues=self._pipeline.longest,
            announced_frames=self._source.announced_frames,
            frames_with_points=self.seen,
            predictions=self.predictions,
            events=self.events,
            clips=self._clips.predicted,
            clips_right=self._clips.right if self._clips.known else None,
            seconds=round(self.seconds, 3),
            timings_ms=self.timings.summary(),
            notices=list(self._notices),
            lost=self._source.lost,
            stopped=self.stopped,
        )


def _layout(source: Source) -> Layout:
    if source.layout is None:
        raise InputError("a source with neither images nor points", where=source.name)
    return source.layout


def with_threshold(options: RecogniseOptions, model: DeployedModel) -> RecogniseOptions:
    """The options with the bundle's own threshold, where it has one and the user set none."""
    if options.decoding.threshold is not None or model.accept is None:
        return options
    return replace(options, decoding=replace(options.decoding, threshold=model.accept))
