"""Features of fingers, and of a signer: by the book in numpy, the same for either hand, for any size and with gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from last_edge.inputs import InputSpec
from last_edge.models.front import LandmarkFront
from last_edge.models.hand_features import FingerFeatures, SignFeatures
from last_edge.skeleton import get_layout
from last_edge.skeleton.layout import mirror

LAYOUT = get_layout("mediapipe_holistic75")
PLACE = {name: joint for joint, name in enumerate(LAYOUT.names)}
LEFT, RIGHT = slice(33, 54), slice(54, 75)
SHOULDERS = InputSpec(LAYOUT, frames=4, centre="frame", scale="frame", streams=("joint",))


def hand(*, curl: float) -> torch.Tensor:
    """(21, 3) a hand in a plane: fingers along y, each joint after the first bent back by `curl` of a bone."""
    points = torch.zeros(21, 3)
    for finger in range(5):
        points[1 + 4 * finger : 5 + 4 * finger, 0] = finger - 2.0
        points[1 + 4 * finger : 5 + 4 * finger, 1] = 4 + torch.arange(4) * (1 - curl)
        points[1 + 4 * finger : 5 + 4 * finger, 2] = torch.arange(4) * (curl * (2 - curl)) ** 0.5
    return points


def features_of(points: torch.Tensor) -> torch.Tensor:
    """(30,) finger features of a right hand with the left one missing."""
    layout = get_layout("mediapipe_holistic75")
    joints = torch.zeros(1, 3, 1, 75)
    joints[0, :, 0, 54:] = (points + 0.5).T
    features: torch.Tensor = FingerFeatures(layout)(joints)[0, 0]
    return features


def test_fingers_of_a_flat_hand() -> None:
    features = features_of(hand(curl=0.0))
    assert not features[:15].any()
    extension, angles, tips, openness = features[15:].split([5, 4, 5, 1])
    assert extension[2] == pytest.approx(1.0)
    assert angles.tolist() == pytest.approx([0.0141] * 4, abs=1e-3)
    assert tips.tolist() == pytest.approx([0.25] * 4 + [1.0])
    assert openness > 0.5


def test_a_bent_finger_is_shorter() -> None:
    assert (features_of(hand(curl=0.6))[15:20] < features_of(hand(curl=0.0))[15:20]).all()


def test_finger_features_do_not_change_with_place_size_or_turn() -> None:
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    points = hand(curl=0.3) + torch.randn(21, 3, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(features_of(points @ turn * 2 + 3), features_of(points), atol=1e-3, rtol=1e-3)


def clips(*, seed: int = 0) -> np.ndarray:
    """(3, 4, 75, 3) people whose hands are lost now and then; the second one's left hand leads, the third's right."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(3, 4, 75, 3)).astype(np.float32)
    points[..., PLACE["left_shoulder"], :], points[..., PLACE["right_shoulder"], :] = (0.5, 0, 0), (-0.5, 0, 0)
    points[..., [PLACE["left_wrist"], PLACE["right_wrist"]], 1] = 0.3
    points[0, 1:3, LEFT] = np.nan
    points[1, :2, RIGHT] = np.nan
    points[2, 3, LEFT] = np.nan
    return points


def read(points: np.ndarray, *, fingers: bool = False) -> torch.Tensor:
    """(N, T, V, C) raw points -> (N, T, F)."""
    made: torch.Tensor = SignFeatures(LAYOUT, points.shape[-1], fingers=fingers)(
        LandmarkFront(SHOULDERS)(torch.from_numpy(points))
    )
    return made


def by_the_book(frame: np.ndarray) -> np.ndarray:
    """(V, 3) points about the shoulders, the right hand leading -> (152,)."""
    body = [
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    ]  # fmt: skip
    parts = [frame[PLACE[name], :2] for name in body]
    mouth = (frame[PLACE["mouth_left"]] + frame[PLACE["mouth_right"]]) / 2
    for side in (LEFT, RIGHT):
        hand = frame[side]
        if np.isnan(hand).any():
            parts.append(np.zeros(63))
            continue
        ends = ((0, 5), (0, 9), (0, 13), (0, 17), (5, 17))
        palm = np.mean([np.linalg.norm(hand[one] - hand[other]) for one, other in ends])
        parts += [((hand[1:] - hand[0]) / palm).ravel(), np.ones(1), (hand[0] - mouth)[:2]]
    return np.concatenate(parts)


def test_a_signer_by_the_book() -> None:
    points = clips()
    turned = np.stack([points[0], mirror(points[1], LAYOUT), points[2]])
    expected = np.stack([[by_the_book(frame) for frame in clip] for clip in turned])
    np.testing.assert_allclose(read(points).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fingers", [False, True])
def test_either_hand_may_lead(fingers: bool) -> None:
    points = clips(seed=4)
    torch.testing.assert_close(read(mirror(points, LAYOUT), fingers=fingers), read(points, fingers=fingers))


def test_the_higher_of_two_hands_that_are_always_seen_leads() -> None:
    points = clips()[2:]
    points[:, 3, LEFT] = points[:, 2, LEFT]
    before = read(points)
    points[..., PLACE["left_wrist"], 1] = -0.4
    changed = read(points)
    points[..., PLACE["right_wrist"], 1] = -0.5
    assert not torch.allclose(changed[..., 26:], before[..., 26:])
    torch.testing.assert_close(read(points)[..., 26:], before[..., 26:])


def test_a_hand_s_size_is_not_seen() -> None:
    points = clips()
    grown = points.copy()
    wrist = points[:, :, RIGHT.start, None]
    grown[:, :, RIGHT] = wrist + 1.3 * (points[:, :, RIGHT] - wrist)
    torch.testing.assert_close(read(grown), read(points), rtol=1e-4, atol=1e-4)


def test_fingers_are_those_of_the_hand_that_leads() -> None:
    points = clips()[1:2]
    streams = LandmarkFront(SHOULDERS)(torch.from_numpy(mirror(points, LAYOUT)))
    torch.testing.assert_close(read(points, fingers=True)[..., -30:], FingerFeatures(LAYOUT)(streams))


def test_nothing_that_is_seen_gives_zeros() -> None:
    assert not read(np.full((1, 4, 75, 3), np.nan, np.float32), fingers=True).any()


def test_columns_name_every_feature_and_sides_stay_apart_where_they_count() -> None:
    points = torch.from_numpy(clips())
    joints = LandmarkFront(SHOULDERS)(points)[:, :3]
    whole = SignFeatures(LAYOUT, 3, fingers=True, sides=True)
    columns = whole.columns()
    assert len(columns) == whole.width
    seen = [place for place, (kind, _) in enumerate(columns) if kind == "seen"]
    assert [columns[place][1] for place in seen] == [0, 1]
    features = whole(joints)
    for hand, joint in enumerate((LEFT, RIGHT)):
        shown = (~torch.isnan(points[:, :, joint, 0]).any(-1)).float()
        torch.testing.assert_close(features[..., seen[hand]], shown)
