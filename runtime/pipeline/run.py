"""`last-edge run`: one pass of a bundle over a source, with events, overlay and timings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from last_edge.files import check_free
from last_edge.runtime.actions.event_log import event_log
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.landmarks import Detector, create_landmarks, detector_for
from last_edge.runtime.landmarks.common import LandmarkSource
from last_edge.runtime.pipeline.session import Session
from last_edge.runtime.pipeline.summary import RunSummary
from last_edge.runtime.recognise.model import DeployedModel, Precision, load_model
from last_edge.runtime.recognise.recognise import RecogniseOptions
from last_edge.runtime.recognise.results import Event
from last_edge.runtime.sources import Source, open_source
from last_edge.runtime.sources.loop import LoopedSource
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


def run(
    bundle: Path,
    source: str,
    *,
    options: RunOptions | None = None,
    on_event: OnEvent | None = None,
    on_notice: OnNotice | None = None,
) -> RunSummary:
    """Recognise gestures in a source and return what was done.

    Ctrl-C, q or Escape in the window, and `limit` end a run early and still leave whole files. `on_event` is called
    for each event as it happens, `on_notice` with what the source has to say. Raises `InputError`, `UsageError`,
    `MissingError`.
    """
    options = options or RunOptions()
    for path in filter(None, (options.events, options.save, options.snapshot)):
        if path.is_file() or path.is_dir():
            check_free(path, force=options.force)
    with ExitStack() as stack:
        model = load_model(bundle, precision=options.precision, threads=options.threads, backend=options.backend)
        opened = stack.enter_context(_opened(source, model.spec.layout, loop=options.loop))
        detector = _detector(opened, model, options)
        if detector is not None:
            stack.callback(detector.close)
        log = stack.enter_context(event_log(options.events))
        swap = partial(load_model, bundle, threads=options.threads, backend=options.backend)
        session = Session(
            model, opened, detector, swap=swap, log=log, options=options, on_event=on_event, on_notice=on_notice
        )
        stack.enter_context(session.presenter)
        session.play()
        summary = session.summary(bundle)
        log.summary(summary)
    return summary


def _opened(text: str, layout: Layout, *, loop: bool) -> Source:
    return LoopedSource(partial(open_source, text, layout=layout)) if loop else open_source(text, layout=layout)


def _detector(source: Source, model: DeployedModel, options: RunOptions) -> LandmarkSource | None:
    """The landmark detector of a source of images; None for a source of points."""
    if source.layout is not None:
        return None
    kind = options.detector or detector_for(model.spec.layout)
    return create_landmarks(kind, hand=options.hand, layout=model.spec.layout.name)
