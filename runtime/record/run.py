"""`last-edge record`: one pass over a source, and what it leaves in the store."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from last_edge.clips.store import HEADER
from last_edge.files import check_free
from last_edge.runtime.landmarks import create_landmarks, detector_for
from last_edge.runtime.landmarks.common import LandmarkSource
from last_edge.runtime.record.options import RecordOptions, RecordSummary
from last_edge.runtime.record.rescue import rescue
from last_edge.runtime.record.session import OnNotice, RecordSession
from last_edge.runtime.record.target import Wanted
from last_edge.runtime.sources import Source, open_source
from last_edge.skeleton import Layout, get_layout


def record(
    store: Path, source: str, *, options: RecordOptions, on_notice: OnNotice = lambda text: None
) -> RecordSummary:
    """Record takes into a new or an older store. Ctrl-C or q ends early and keeps what was taken.

    Raises `UsageError` when the store holds other points or a file is to give several labels, `InputError` when no
    take is worth keeping, `MissingError` without the camera or the landmark model.
    """
    older = rescue(store, on_notice=on_notice)
    if older is None:
        check_free(store, force=False, marker=HEADER)
    wanted = None if options.bundle is None else Wanted.of(options.bundle)
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source, layout=_generated(wanted)))
        detector = _detector(opened, wanted, options)
        if detector is not None:
            stack.callback(detector.close)
        session = RecordSession(store, older, opened, detector, wanted=wanted, options=options, on_notice=on_notice)
        stack.callback(session.view.close)
        session.play()
        return session.finish()


def _generated(wanted: Wanted | None) -> Layout:
    return get_layout("mediapipe_hand21") if wanted is None else wanted.spec.layout


def _detector(source: Source, wanted: Wanted | None, options: RecordOptions) -> LandmarkSource | None:
    """The landmark detector of a source of images; None for a source of points."""
    if source.layout is not None:
        return None
    kind = options.detector or ("hand" if wanted is None else detector_for(wanted.spec.layout))
    return create_landmarks(kind, hand=options.hand, layout="" if wanted is None else wanted.spec.layout.name)
