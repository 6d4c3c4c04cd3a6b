"""Four stages on threads: order, bounds, what is dropped, and how everything ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest

from last_edge.errors import InputError
from last_edge.runtime.pipeline.pipeline import LIVE_QUEUE, STAGES, Channel, Item, Pipeline, Timings, inherit
from last_edge.runtime.recognise.decoding import Event
from last_edge.runtime.sources import Frame, Source
from last_edge.skeleton import get_layout

POINTS = np.zeros((1, 21, 3), np.float32)


class Counted(Source):
    """`frames` frames at 10 a second; `before` is called with each frame's number."""

    def __init__(self, frames: int, before: Callable[[int], object] = lambda index: None) -> None:
        self.name, self.fps, self.layout = "counted", 10.0, get_layout("mediapipe_hand21")
        self._frames, self._before, self.interrupted = frames, before, False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            self._before(index)
            yield Frame(index, index / 10, points=POINTS)

    def interrupt(self) -> None:
        self.interrupted = True


def nothing(item: Item) -> None:
    """A stage without work."""


def pipeline(
    source: Source,
    *,
    landmarks: Callable[[Item], None] = nothing,
    recognise: Callable[[Item], None] = nothing,
    live: bool = False,
    limit: int | None = None,
) -> Pipeline:
    return Pipeline(source, landmarks=landmarks, recognise=recognise, timings=Timings(STAGES), live=live, limit=limit)


def alive() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & set(STAGES)


def test_every_frame_of_a_file_goes_through_every_stage_in_order() -> None:
    threads: set[str] = set()
    one = pipeline(Counted(50), landmarks=lambda item: threads.add(threading.current_thread().name))
    assert [item.frame.index for item in one] == list(range(50))
    assert one.captured == 50 and sum(one.dropped.values()) == 0 and threads == {"landmarks"}
    assert not alive()


def test_limit_counts_frames_of_the_source() -> None:
    source = Counted(50)
    assert len(list(pipeline(source, limit=7))) == 7 and source.interrupted


def test_a_slow_consumer_of_a_live_source_gets_the_newest_and_queues_stay_short() -> None:
    done = threading.Event()
    source = Counted(40, before=lambda index: done.set() if index == 39 else None)
    one, got = pipeline(source, live=True), []
    for item in one:
        assert done.wait(5)
        got.append(item.frame.index)
    assert got[-1] == 39 and got == sorted(got)
    assert len(got) + sum(one.dropped.values()) == one.captured == 40
    assert len(got) <= 3 * LIVE_QUEUE + 3 and max(one.longest.values()) <= LIVE_QUEUE


def test_events_of_dropped_frames_reach_the_next_one_in_order() -> None:
    first, second = (Item(Frame(index, index / 10)) for index in range(2))
    event = Event("a", 0.9, 0.0, 0.1)
    first.events.append((first.frame, event))
    second.events.append((second.frame, event))
    inherit(first, second)
    assert [frame.index for frame, _ in second.events] == [0, 1]


def test_no_event_is_lost_behind_a_slow_window() -> None:
    done = threading.Event()

    def recognise(item: Item) -> None:
        item.events.append((item.frame, Event(str(item.frame.index), 1.0, 0.0, 0.0)))
        if item.frame.index == 29:
            done.set()

    step = threading.Semaphore(0)
    source = Counted(30, before=lambda index: step.acquire(timeout=5))
    one, got = pipeline(source, live=True, recognise=lambda item: (recognise(item), step.release())[0]), []
    step.release()
    for item in one:
        assert done.wait(5)
        got += [frame.index for frame, _ in item.events]
    assert got == list(range(30)) and one.dropped["present"] > 20


@pytest.mark.parametrize("stage", ["capture", "landmarks", "recognise"])
def test_an_error_of_any_stage_ends_all_and_is_raised_here(stage: str) -> None:
    def fail(number: int) -> None:
        if number == 5:
            raise InputError("broken")

    works = {stage: lambda item: fail(item.frame.index)} if stage != "capture" else {}
    source = Counted(1000, before=fail if stage == "capture" else lambda index: None)
    with pytest.raises(InputError, match="broken"):
        list(pipeline(source, **works))  # type: ignore[arg-type]
    assert source.interrupted and not alive()


def test_leaving_early_ends_threads_that_wait() -> None:
    with closing(iter(pipeline(Counted(1000)))) as items:
        assert next(items).frame.index == 0
        assert alive()
    assert not alive()


def test_a_paced_source_waits_for_its_timestamps_only_until_it_is_stopped() -> None:
    source = Counted(3)
    source.__class__ = type("Slow", (Counted,), {"__iter__": lambda self: iter([Frame(0, 0.0), Frame(1, 1e6)])})
    one = Pipeline(source, landmarks=nothing, recognise=nothing, timings=Timings(STAGES), live=True, paced=True)
    with closing(iter(one)) as items:
        assert next(items).frame.index == 0
    assert not alive() and one.captured <= 2


def test_a_channel_gives_what_it_holds_after_the_giver_has_finished_and_nothing_once_closed() -> None:
    channel = Channel[int](3, lossy=False)
    assert all(map(channel.put, (1, 2, 3))) and len(channel) == channel.longest == 3
    channel.finish()
    assert [channel.get(), channel.get()] == [1, 2]
    channel.close()
    assert channel.get() is None and not channel.put(4)


def test_a_lossy_channel_drops_the_oldest_and_hands_it_to_the_next() -> None:
    heirs: list[tuple[int, int]] = []
    channel = Channel[int](2, lossy=True, heir=lambda dropped, heir: heirs.append((dropped, heir)))
    for number in range(4):
        channel.put(number)
    assert (channel.dropped, len(channel), heirs) == (2, 2, [(0, 1), (1, 2)])
