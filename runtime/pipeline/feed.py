"""Frames of a source and the points on them: given by the source, or found in its images by a landmark detector."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from last_edge.errors import MissingError, UsageError
from last_edge.runtime.closing import Closeable
from last_edge.runtime.landmarks import By, Detector, create_landmarks, detector_for
from last_edge.runtime.landmarks.source import LandmarkSource
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame, ImageOptions, Source, open_source
from last_edge.runtime.sources.base import LoopedSource
from last_edge.skeleton import Layout
from last_edge.skeleton.people import Follower

MOST_FAILURES = 10
MOST_NOTICES = 1000


class Notices:
    """What source and detector had to say, in order; any thread may add.

    The first thousand are kept, the others told and counted, so that a run of weeks does not grow by what it says.
    """

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._unread: deque[str] = deque(maxlen=MOST_NOTICES)
        self._more = 0

    def append(self, text: str) -> None:
        """Add one."""
        self._unread.append(text)
        if len(self._kept) < MOST_NOTICES:
            self._kept.append(text)
        else:
            self._more += 1

    def unread(self) -> list[str]:
        """Those since the last call."""
        return [self._unread.popleft() for _ in range(len(self._unread))]

    def __iter__(self) -> Iterator[str]:
        yield from self._kept
        if self._more:
            yield f"{self._more} more of these were told and not kept"


class Feed(Closeable):
    """A source with the detector that its images need, closed together.

    person, bodies: who is followed of more people than that, or of those whom a source does not tell apart.
    layout, units: of the points. notices: what source and detector had to say.
    every: the detector looks at one image of so many.
    """

    def __init__(
        self, source: Source, detector: LandmarkSource | None, *, every: int = 1, person: str = "largest",
        bodies: int = 1,
    ) -> None:  # fmt: skip
        layout = source.layout if detector is None else detector.layout
        assert layout is not None, "a source without points has a detector"
        self.source, self.detector = source, detector
        self.layout, self.units = layout, source.units
        self.notices = Notices()
        self._every, self._since, self._clip = every, every, ""
        self._failures = 0
        self._looking = False
        source.notice = self.notices.append
        if detector is not None:
            detector.notice = self.notices.append
        self._follower = Follower(person, bodies=bodies, middle=source.middle, notice=self.notices.append)
        self._followed_in = ""
        if said := source.describe():
            self.notices.append(said)
        if detector is not None and detector.warning:
            self.notices.append(detector.warning)

    def looks_at(self, frame: Frame) -> bool:
        """Whether this frame's points are to be found; asked once for each frame, in their order.

        Of a source of points always; of images for the first of a recording and then for one in `every`. What lies
        between is nobody's to guess: windows are resampled by time.
        """
        self._since = self._every if frame.clip != self._clip else self._since + 1
        self._clip = frame.clip
        if frame.points is None and self._since < self._every:
            return False
        self._since = 0
        return True

    def points(self, frame: Frame) -> Points:
        """(M, V, C) points of a frame's people, NaN where missing; of several those who are followed.

        Frames on which the detector fails have no points and are noted; `MissingError` at the tenth in a row.
        """
        if frame.points is not None:
            return self._followed(frame.points, frame)
        assert self.detector is not None and frame.image is not None
        self._looking = True
        try:
            points = self.detector(frame.image, frame.timestamp_s)
        except (RuntimeError, ValueError) as error:
            self._failures += 1
            self.notices.append(f"no landmarks of frame {frame.index}: {error}")
            if self._failures >= MOST_FAILURES:
                raise MissingError("the landmark detector fails on every frame", where=self.detector.model, got=error,
                                   hint="last-edge doctor") from error  # fmt: skip
            return np.full((1, self.layout.joints, 3), np.nan, np.float32)
        finally:
            self._looking = False
        self._failures = 0
        return points if points.ndim == 3 else points[None]

    def _followed(self, people: Points, frame: Frame) -> Points:
        """Those whom the follower keeps to; a source that tells people apart keeps all that are wanted."""
        if frame.clip != self._followed_in:
            self._followed_in = frame.clip
            self._follower.clear()
        most = self._follower.bodies
        if len(people) <= (most if self.source.tracked else 1):
            return people
        return self._follower(people, frame.timestamp_s)

    @property
    def side(self) -> str:
        """`left` or `right` where the detector says which hand it found last, else ""."""
        return "" if self.detector is None else self.detector.side

    def unread(self) -> list[str]:
        """Notices since the last call."""
        return self.notices.unread()

    def close(self) -> None:
        """Give device, file and detector back; a detector that hangs is left alone, closing it would hang too."""
        if self.detector is not None and not self._looking:
            self.detector.close()
        self.source.close()


def source_of(text: str, bundle: Path) -> str:
    """The source that a user named; `samples` alone are those of the bundle at work."""
    return f"samples:{bundle}" if text == "samples" else text


def open_feed(
    text: str, *, layout: Layout, detector: Detector | None = None, hand: str = "first", loop: bool = False,
    landmarks_by: By = "auto", every: int = 1, detect_every: int = 1, images: ImageOptions | None = None,
    person: str = "largest", bodies: int = 1,
) -> Feed:  # fmt: skip
    """The source a user named, with a detector where it gives images.

    layout: what a bundle takes, which decides about the detector (None takes the one that feeds it) and about what a
    generated motion shows. hand: which hand a hand detector follows. loop: played again and again. landmarks_by: the
    library that finds points in images. every: in one image of so many. detect_every: as
    `create_landmarks` takes it. images: how images are turned and timed before.
    person: who is followed of several people in view, see `last_edge.skeleton.people`; bodies: how many of them a
    bundle takes.
    Raises as `open_source` and `create_landmarks` do, `UsageError` when no detector feeds the layout.
    """
    if every < 1:
        raise UsageError("landmarks are found in one image of at least one", expected="every >= 1", got=every)
    opened = partial(open_source, text, layout=layout, images=images)
    source = LoopedSource(opened) if loop else opened()
    if source.layout is not None:
        return Feed(source, None, person=person, bodies=bodies)
    try:
        kind = detector or detector_for(layout)
        how = {"hand": hand, "layout": layout.name, "person": person}
        found = create_landmarks(kind, by=landmarks_by, bodies=bodies, detect_every=detect_every, **how)
        return Feed(source, found, every=every, person=person, bodies=bodies)
    except BaseException:
        source.close()
        raise
