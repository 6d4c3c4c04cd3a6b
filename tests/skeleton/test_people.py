"""Who is followed of several people in view, frame by frame and over a whole recording."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.skeleton.people import Follower, Seen, follow_clip, people_of

NOBODY = np.zeros((0, 4, 2), np.float32)


def somebody(x: float, *, size: float = 0.4, y: float = 0.5) -> np.ndarray:
    """(4, 2) corners of a box about x, y."""
    return (np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * size / 2 + [x, y]).astype(np.float32)


def frames(*rows: list[np.ndarray]) -> list[np.ndarray]:
    return [np.stack(people) if people else NOBODY for people in rows]


@pytest.mark.parametrize(("person", "x"), [("largest", 0.9), ("left", 0.2), ("right", 1.4), ("centre", 0.7)])
def test_the_one_that_is_meant_is_chosen(person: str, x: float) -> None:
    people = np.stack(
        [somebody(0.7, size=0.3), somebody(1.4, size=0.4), somebody(0.2, size=0.3), somebody(0.9, size=0.6)]
    )
    (chosen,) = Follower(person, middle=0.75)(people, 0.0)
    assert chosen.mean(0)[0] == pytest.approx(x)


def test_another_word_is_refused() -> None:
    with pytest.raises(UsageError, match="largest or left or right or centre"):
        Follower("tallest")


def test_whoever_is_followed_stays_whatever_place_and_size_come() -> None:
    said: list[str] = []
    follower = Follower("largest", notice=said.append)
    xs = []
    for frame in range(20):
        own, other = somebody(0.4, size=0.5), somebody(1.2, size=0.3 + 0.02 * frame)
        people = [own, other] if frame % 2 else [other, own]
        xs.append(float(follower(np.stack(people), frame / 30)[0].mean(0)[0]))
    assert xs == pytest.approx([0.4] * 20) and said == []


def test_nobody_stands_in_for_one_who_is_hidden_for_a_moment() -> None:
    said: list[str] = []
    follower = Follower("left", notice=said.append)
    follower(np.stack([somebody(0.3), somebody(1.0)]), 0.0)
    assert np.isnan(follower(somebody(1.0)[None], 0.1)).all()
    assert follower(np.stack([somebody(1.0), somebody(0.32)]), 0.2)[0].mean(0)[0] == pytest.approx(0.32)
    assert said == []


def test_one_who_is_gone_is_followed_by_another_and_that_is_told() -> None:
    said: list[str] = []
    follower = Follower("left", notice=said.append)
    follower(np.stack([somebody(0.3), somebody(1.0)]), 0.0)
    for moment in (0.3, 0.4, 0.5, 0.6, 0.7):
        last = follower(somebody(1.0)[None], moment)
    assert last[0].mean(0)[0] == pytest.approx(1.0)
    assert len(said) == 1 and "somebody else is followed, 0.70 away" in said[0]


def test_two_keep_their_places_when_a_detector_exchanges_them() -> None:
    follower = Follower("left", bodies=2)
    for frame in range(10):
        people = [somebody(0.3 + frame / 100), somebody(1.0)]
        one, other = follower(np.stack(people[:: 1 if frame % 3 else -1]), frame / 30)
        assert one.mean(0)[0] == pytest.approx(0.3 + frame / 100) and other.mean(0)[0] == pytest.approx(1.0)


def test_an_absent_second_body_is_missing() -> None:
    one, other = Follower(bodies=2)(somebody(0.3)[None], 0.0)
    assert not np.isnan(one).any() and np.isnan(other).all()


def test_a_new_recording_begins_with_everybody_a_stranger() -> None:
    follower = Follower("left")
    follower(somebody(1.0)[None], 0.0)
    follower.clear()
    assert follower(np.stack([somebody(0.3), somebody(1.0)]), 0.03)[0].mean(0)[0] == pytest.approx(0.3)


def test_over_a_whole_recording_one_frame_of_a_ghost_is_no_choice() -> None:
    rows = [[somebody(0.5, size=0.3)] for _ in range(20)]
    rows[0].append(somebody(1.3, size=0.5))
    (track,) = follow_clip(frames(*rows), fps=30, person="right")
    np.testing.assert_allclose(track.mean(1)[:, 0], 0.5, rtol=1e-6)


def test_a_recording_that_changes_person_says_so() -> None:
    said: list[str] = []
    rows = [[somebody(0.3)]] * 10 + [[]] * 3 + [[somebody(1.5)]] * 6
    (track,) = follow_clip(frames(*rows), fps=10, person="largest", notice=said.append)
    assert np.isnan(track[10:13]).all() and track[13].mean(0)[0] == pytest.approx(1.5)
    assert said == ["from 1.30 s on somebody else is followed, 1.20 away from the one before"]


def test_a_recording_of_nobody_has_missing_points_alone() -> None:
    assert follow_clip(frames([], []), fps=30) == []
    made = people_of(np.full((3, 5, 4, 2), np.nan, np.float32), fps=30, bodies=2)
    assert made.shape == (2, 5, 4, 2) and np.isnan(made).all()


def test_missing_points_do_not_move_anybody() -> None:
    whole = np.random.default_rng(0).normal(0.5, 0.2, (33, 3)).astype(np.float32)
    part = whole.copy()
    part[:8] = np.nan
    one, other = Seen.of(whole), Seen.of(part)
    assert one is not None and other is not None and one.to(other) < 0.2 * one.size
    assert Seen.of(np.full((4, 2), np.nan)) is None
