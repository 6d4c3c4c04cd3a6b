"""Four stages on their own threads: capture, landmarks, recognise, and present, which stays with the caller.

A window must be drawn, and Ctrl-C arrives, on the thread that started the program: so the last stage is a loop there.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import MissingError
from last_edge.runtime.recognise.decoding import ClipResult, Event, Prediction
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame, Source

MOST_KEPT = 100_000
T = TypeVar("T")
STAGES = ("capture", "landmarks", "recognise", "present")
"""Reading the frame; finding points; window, model and decoding; drawing, saving and showing."""
FILE_QUEUE, LIVE_QUEUE = 8, 2
PATIENCE_S = 5.0
LOOK_S = 1.0
HANG_S = 20.0
"""A stage that works on one frame for longer hangs; below what systemd waits for, so that a run ends with a reason."""
NOTHING = np.zeros((0, 0, 0), np.float32)


@dataclass(frozen=True)
class StageTiming:
    """Milliseconds a frame: median, 95th and 99th percentile, mean, and how many frames were measured.

    busy: mean time of the processor on the stage's own thread, which a machine that does other things does not stretch.
    """

    p50: float
    p95: float
    p99: float
    mean: float
    busy: float
    n: int


class Ring:
    """The last 100,000 numbers, in memory that is all taken at once, so that a long run never grows by them."""

    def __init__(self) -> None:
        self._values = np.full(MOST_KEPT, np.nan, np.float32)
        self._added = 0

    def add(self, value: float) -> None:
        """Put a number in the place of the oldest."""
        self._values[self._added % MOST_KEPT] = value
        self._added += 1

    def values(self) -> NDArray[np.float32]:
        """Those that are held, in no order."""
        return self._values[: self._added]


class Timings:
    """Milliseconds of each stage of the last 100,000 frames; each stage may run on a thread of its own."""

    def __init__(self, stages: tuple[str, ...]) -> None:
        self._all = {stage: Ring() for stage in stages}
        self._busy = {stage: Ring() for stage in stages}

    @contextmanager
    def measure(self, stage: str, *, into: dict[str, float]) -> Iterator[None]:
        """Record the time of the block, also in a frame's own `into`."""
        watch = Stopwatch()
        yield
        self.add(stage, watch, into=into)

    def add(self, stage: str, watch: Stopwatch, *, into: dict[str, float]) -> None:
        """Record the time since a watch was made on this thread, also in a frame's own `into`."""
        milliseconds, busy = watch.read()
        self._all[stage].add(milliseconds)
        self._busy[stage].add(busy)
        into[stage] = milliseconds

    def summary(self) -> dict[str, StageTiming]:
        """Percentiles of every stage that was measured."""
        held = {stage: ring.values() for stage, ring in self._all.items()}
        return {stage: _figures(values, self._busy[stage].values()) for stage, values in held.items() if len(values)}


class Stopwatch:
    """Milliseconds since it was made: by the clock, and of the processor on the thread that made it."""

    def __init__(self) -> None:
        self._began, self._began_busy = time.perf_counter(), time.thread_time()

    def read(self) -> tuple[float, float]:
        """Both, on the thread that made it."""
        return (time.perf_counter() - self._began) * 1000, (time.thread_time() - self._began_busy) * 1000


def _figures(values: NDArray[np.float32], busy: NDArray[np.float32]) -> StageTiming:
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(values, [50, 95, 99]))
    return StageTiming(p50, p95, p99, round(float(values.mean()), 3), round(float(busy.mean()), 3), len(values))


class Channel(Generic[T]):
    """Holds at most `capacity` items; one thread gives, another takes.

    lossy: a full channel drops its oldest item, otherwise `put` waits. heir: called with a dropped item and the one
    after it, which may take over what must not be lost. dropped: items dropped. longest: most items ever held.
    """

    def __init__(self, capacity: int, *, lossy: bool, heir: Callable[[T, T], None] | None = None) -> None:
        self._items: deque[T] = deque()
        self._capacity, self._lossy, self._heir = capacity, lossy, heir
        self._changed = threading.Condition()
        self._finished = self._closed = False
        self.dropped = self.longest = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Add an item; False, and nothing is added, once the channel is closed."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._lossy and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            if len(self._items) > self._capacity:
                self._drop()
            self.longest = max(self.longest, len(self._items))
            self._changed.notify_all()
            return True

    def get(self, *, meanwhile: Callable[[], None] = lambda: None) -> T | None:
        """The oldest item, waited for; None once the giver has finished and all is taken, or the channel is closed.

        meanwhile: called every `LOOK_S` of waiting; what it raises ends the waiting.
        """
        with self._changed:
            while not self._items and not self._finished and not self._closed:
                if not self._changed.wait(LOOK_S):
                    meanwhile()
            if self._closed or not self._items:
                return None
            self._changed.notify_all()
            return self._items.popleft()

    def get_instead(self, item: T) -> T | None:
        """The next item, which inherits from one that was taken and is dropped; None where none waits."""
        with self._changed:
            if not self._items or self._closed:
                return None
            self._items.appendleft(item)
            self._drop()
            return self._items.popleft()

    def finish(self) -> None:
        """The giver has nothing more; what is held can still be taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Forget what is held and let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def _drop(self) -> None:
        oldest = self._items.popleft()
        self.dropped += 1
        if self._heir is not None:
            self._heir(oldest, self._items[0])


@dataclass
class Item:
    """A frame on its way, and what the stages found.

    points: (M, V, C). looked: whether they were found on this very frame. captured_s: when it came, by the monotonic
    clock. side: `left` or `right` where it is known which hand they show. events, clips: completed by it or
    by frames dropped since. milliseconds: by stage. queues: how many items waited ahead of each stage when it took this
    one.
    """

    frame: Frame
    points: Points = field(default_factory=lambda: NOTHING)
    looked: bool = True
    captured_s: float = 0.0
    side: str = ""
    prediction: Prediction | None = None
    events: list[tuple[Frame, Event]] = field(default_factory=list)
    clips: list[ClipResult] = field(default_factory=list)
    milliseconds: dict[str, float] = field(default_factory=dict)
    queues: dict[str, int] = field(default_factory=dict)


Work = Callable[[Item], None]


def inherit(dropped: Item, heir: Item) -> None:
    """No event and no clip is lost with the frame that brought it."""
    heir.events[:0] = dropped.events
    heir.clips[:0] = dropped.clips


class Pipeline:
    """Iterating gives each item when the stages before `present` are done with it, then stops every thread.

    works: what `landmarks` and `recognise` do with an item. live: queues drop the oldest frame; otherwise every frame
    is worked on. paced: frames come at the moments of their timestamps. limit: frames taken of the source.
    max_age_s: live, a stage leaves out frames that came longer ago while a newer one waits.
    An error of any stage ends all of them and is raised by the iteration; `MissingError` where `landmarks` or
    `recognise` does not come back from a frame within `HANG_S`.
    """

    def __init__(
        self, source: Source, *, landmarks: Work, recognise: Work, timings: Timings, live: bool, paced: bool = False,
        limit: int | None = None, max_age_s: float | None = None,
    ) -> None:  # fmt: skip
        self._oldest_s = max_age_s if live else None
        size = LIVE_QUEUE if live else FILE_QUEUE
        self._source, self._timings, self._paced, self._limit = source, timings, paced, limit
        self._channels = {stage: Channel[Item](size, lossy=live, heir=inherit) for stage in STAGES[1:]}
        self._halt = threading.Event()
        self._error: BaseException | None = None
        self._at_work: dict[str, tuple[int, float]] = {}
        stages = (("landmarks", landmarks), ("recognise", recognise))
        self._threads = [threading.Thread(target=self._guard, args=(self._capture,), name="capture", daemon=True)]
        self._threads += [
            threading.Thread(target=self._guard, args=(self._stage, name, work), name=name, daemon=True)
            for name, work in stages
        ]
        self.captured = 0

    @property
    def dropped(self) -> dict[str, int]:
        """Frames dropped ahead of each stage so far."""
        return {stage: channel.dropped for stage, channel in self._channels.items()}

    @property
    def longest(self) -> dict[str, int]:
        """Most frames that ever waited ahead of each stage."""
        return {stage: channel.longest for stage, channel in self._channels.items()}

    def __iter__(self) -> Generator[Item]:
        for thread in self._threads:
            thread.start()
        try:
            while (item := self._take("present", meanwhile=self._require_progress)) is not None:
                yield item
        finally:
            self._stop()
        if self._error is not None:
            raise self._error

    def _take(self, stage: str, *, meanwhile: Callable[[], None] = lambda: None) -> Item | None:
        channel = self._channels[stage]
        waiting = len(channel)
        item = channel.get(meanwhile=meanwhile)
        while item is not None and self._oldest_s is not None and time.monotonic() - item.captured_s > self._oldest_s:
            if (newer := channel.get_instead(item)) is None:
                break
            item = newer
        if item is not None:
            item.queues[stage] = waiting
        return item

    def _capture(self) -> None:
        first, frames = self._channels["landmarks"], iter(self._source)
        began: float | None = None
        while (self._limit is None or self.captured < self._limit) and not self._halt.is_set():
            watch = Stopwatch()
            frame = next(frames, None)
            if frame is None:
                break
            item = Item(frame, captured_s=time.monotonic())
            self._timings.add("capture", watch, into=item.milliseconds)
            if self._paced:
                began = time.monotonic() - frame.timestamp_s if began is None else began
                self._halt.wait(max(0.0, began + frame.timestamp_s - time.monotonic()))
                item.captured_s = time.monotonic()
            self.captured += 1
            if not first.put(item):
                return
        first.finish()

    def _stage(self, name: str, work: Work) -> None:
        onward = self._channels[STAGES[STAGES.index(name) + 1]]
        while (item := self._take(name)) is not None:
            self._at_work[name] = item.frame.index, time.monotonic()
            work(item)
            del self._at_work[name]
            if not onward.put(item):
                return
        onward.finish()

    def _require_progress(self) -> None:
        for stage, (frame, since) in self._at_work.copy().items():
            if time.monotonic() - since > HANG_S:
                got = f"no answer for {HANG_S:g} s"
                raise MissingError(f"the stage {stage!r} hangs", where=f"frame {frame}", got=got,
                                   hint="last-edge doctor; another --landmarks or --backend")  # fmt: skip

    def _guard(self, target: Callable[..., None], *arguments: object) -> None:
        """Run a thread's work; what it raises is kept for the caller and ends every stage."""
        try:
            target(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            self._error = self._error or error
            self._close()

    def _close(self) -> None:
        self._halt.set()
        for channel in self._channels.values():
            channel.close()

    def _stop(self) -> None:
        """End every thread; one that hangs for five seconds is left to the process's end."""
        self._close()
        self._source.interrupt()
        for thread in self._threads:
            thread.join(PATIENCE_S)
