"""A source that plays again: time, numbers and recordings run on, and nothing grows with the passes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.runtime.pipeline.pipeline import MOST_KEPT, Ring
from last_edge.runtime.pipeline.run import RunOptions, run
from last_edge.runtime.sources.base import LoopedSource
from last_edge.runtime.sources.points import SyntheticSource
from last_edge.skeleton import get_layout

HAND = get_layout("mediapipe_hand21")


def second_of_motion() -> SyntheticSource:
    return SyntheticSource(HAND, seconds=1.0)


def test_passes_follow_each_other_in_time_and_are_recordings_of_their_own() -> None:
    frames = list(islice(LoopedSource(second_of_motion), 75))
    assert [frame.index for frame in frames] == list(range(75))
    steps = [after.timestamp_s - before.timestamp_s for before, after in pairwise(frames)]
    np.testing.assert_allclose(steps, 1 / 30, atol=1e-9)
    assert [frames[at].clip for at in (0, 29, 30, 60)] == [f"synthetic, pass {n}" for n in (1, 1, 2, 3)]
    np.testing.assert_array_equal(frames[5].points, frames[65].points)


def test_each_pass_is_opened_anew_told_of_and_closed() -> None:
    opened: list[Any] = []

    def open_again() -> Any:
        opened.append(second_of_motion())
        opened[-1].closed = 0
        opened[-1].close = lambda source=opened[-1]: setattr(source, "closed", source.closed + 1)
        return opened[-1]

    said: list[str] = []
    with LoopedSource(open_again) as source:
        source.notice = said.append
        list(islice(source, 61))
        opened[-1].notice("a frame cannot be read")
    assert [each.closed for each in opened] == [1, 1, 1] and said == ["a frame cannot be read"]


def test_a_source_without_frames_ends_and_a_live_one_is_refused() -> None:
    assert list(LoopedSource(lambda: SyntheticSource(HAND, seconds=0.0))) == []
    camera: Any = SimpleNamespace(live=True, name="cam:0", close=lambda: None)
    with pytest.raises(UsageError, match="cannot be played again"):
        LoopedSource(lambda: camera)


def test_run_plays_past_the_end_until_the_limit(make_bundle: Callable[..., Path]) -> None:
    summary = run(make_bundle(), "synthetic", options=RunOptions(loop=True, limit=700))
    assert summary.frames == 700 and summary.clips == 3 and summary.announced_frames is None


def test_timings_of_a_long_run_take_no_more_memory_than_of_a_short_one() -> None:
    ring = Ring()
    held = ring._values.nbytes
    for number in range(MOST_KEPT + 3):
        ring.add(number)
    assert ring._values.nbytes == held and len(ring.values()) == MOST_KEPT
    assert sorted(ring.values().tolist())[0] == 3 and ring.values().max() == MOST_KEPT + 2
