"""Learnt moves: the same numbers everywhere, drawn as the recordings were spread, and no recording among them."""

from hashlib import sha256

import numpy as np
import pytest

from last_edge.data.synth.moves import LEAST, SIGNING, Moves, learn_moves, signing
from last_edge.inputs.spec import Points
from last_edge.skeleton import get_layout
from last_edge.skeleton.layout import limb_length

HAND = get_layout("mediapipe_hand21")
SHAPE = np.random.default_rng(5).normal(0, 0.3, (21, 3)) + np.linspace(0, 1, 21)[:, None] * [0, -1, 0]


def recorded(number: int) -> Points:
    """One of two moves, right or up, as far as its own number says, by a hand of any size anywhere in the picture."""
    random = np.random.default_rng(number)
    way, far = number % 2, random.normal(2, 0.3)
    points = np.tile(SHAPE / limb_length(SHAPE[None], HAND), (20, 1, 1))
    points[:, :, way] += (-1) ** way * far * np.linspace(0, 1, 20)[:, None]
    points = points * random.uniform(0.1, 0.2) + random.uniform(0, 1, 3) * [1, 1, 0]
    points[5 + number % 7] = np.nan
    return np.asarray(points, np.float32)


@pytest.fixture(scope="module")
def learnt() -> Moves:
    return learn_moves([recorded(number) for number in range(80)])


def ends(moves: Moves, count: int) -> Points:
    """(count, 2): how far a drawn hand goes, x and y, in its limb lengths."""
    drawn = [moves.draw(number, seed=0) for number in range(count)]
    return np.stack([(move[-1, 0, :2] - move[0, 0, :2]) / limb_length(move, HAND) for move in drawn])


def test_draws_are_spread_as_the_recordings_were(learnt: Moves) -> None:
    far = ends(learnt, 200)
    right = far[:, 0] > -far[:, 1]
    assert 0.35 < right.mean() < 0.65
    assert far[right, 0].mean() == pytest.approx(2, abs=0.15) and far[~right, 1].mean() == pytest.approx(-2, abs=0.15)
    assert 0.15 < far[right, 0].std() < 0.45
    assert np.abs(far[right, 1]).max() < 0.6 and np.abs(far[~right, 0]).max() < 0.6


def test_a_group_holds_eight_recordings_or_more_and_a_draw_is_none_of_them(learnt: Moves) -> None:
    assert learnt.counts.sum() == 80 and learnt.counts.min() >= LEAST
    far = ends(learnt, 50)
    assert len(np.unique(far.round(4), axis=0)) == 50


def test_what_is_shipped_is_small_and_gives_the_same_points_on_every_machine() -> None:
    moves = signing()
    assert SIGNING.stat().st_size < 100_000
    assert SIGNING.read_bytes() == moves.to_bytes()
    assert moves.counts.min() >= LEAST and moves.counts.sum() == 334
    whole = [moves.draw(number, seed=0) for number in range(4)]
    assert [move.shape[1:] for move in whole] == [(21, 3)] * 4 and not any(np.isnan(move).any() for move in whole)
    assert sha256(b"".join(move.tobytes() for move in whole)).hexdigest()[:16] == "3b3e44e06edf450d"


def test_equal_arguments_give_equal_bytes_and_others_give_others() -> None:
    moves = signing()
    one, again = moves.draw(3, seed=0), moves.draw(3, seed=0)
    assert one.tobytes() == again.tobytes()
    assert all(other.tobytes() != one.tobytes() for other in (moves.draw(4, seed=0), moves.draw(3, seed=1)))
