"""`last-edge run`: one pass of a bundle over a source, with events, overlay and timings."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from last_edge.files import check_free
from last_edge.runtime.actions.event_log import event_log
from last_edge.runtime.landmarks import create_landmarks, detector_for
from last_edge.runtime.landmarks.mediapipe import LandmarkSource
from last_edge.runtime.pipeline.options import RunSummary
from last_edge.runtime.pipeline.session import OnEvent, OnNotice, RunOptions, Session
from last_edge.runtime.recognise.model import DeployedModel, load_model
from last_edge.runtime.sources import Source, open_source
from last_edge.runtime.sources.base import LoopedSource
from last_edge.skeleton import Layout


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
