"""The lexicon's structure and the kinematics behind a synthetic sign."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from last_edge.data.synth.generate import View, project, to_world
from last_edge.data.synth.gloss import MOVEMENTS, lexicon, stroke
from last_edge.data.synth.hand import HANDSHAPES, RELAXED, between, hand_frame, hand_points
from last_edge.data.synth.signer import body_points, perform, signer, timing
from last_edge.skeleton.layout import get_layout

HAND = get_layout("mediapipe_hand21")
HOLISTIC = get_layout("mediapipe_holistic75")


def test_a_longer_lexicon_starts_with_the_shorter_one() -> None:
    assert lexicon(47)[:20] == lexicon(20)


def test_every_gloss_has_a_minimal_pair() -> None:
    glosses = [astuple(gloss) for gloss in lexicon(20)]
    for gloss in glosses:
        assert 1 in [sum(a != b for a, b in zip(gloss, other, strict=True)) for other in glosses]


def test_unknown_glosses_are_in_no_known_lexicon() -> None:
    assert not set(lexicon(12_555)) & set(lexicon(4_185, unknown=True))


def test_gloss_names_are_unique() -> None:
    assert len({gloss.name for gloss in lexicon(2000)}) == 2000


def test_bones_of_the_hand_keep_their_length_in_every_handshape() -> None:
    points = hand_points(np.stack([RELAXED, *HANDSHAPES.values()]))
    ends = [(child, parent) for child, parent in enumerate(HAND.parents) if child != parent]
    lengths = np.stack([np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in ends])
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:, :1], lengths.shape), atol=1e-9)


def test_a_fist_brings_the_finger_tips_nearer_to_the_wrist() -> None:
    fist, flat = hand_points(np.stack([HANDSHAPES["fist"], HANDSHAPES["flat"]]))
    tips = [8, 12, 16, 20]
    assert (np.linalg.norm(fist[tips], axis=-1) < 0.7 * np.linalg.norm(flat[tips], axis=-1)).all()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_arms_keep_their_length_while_signing(number: int) -> None:
    rng = np.random.default_rng(number)
    who = signer(number, 0)
    hands = perform(lexicon(10)[7], who, timing(rng, speed=1.0, fps=30), rng=rng)
    points = body_points(*hands, who, rng=rng)
    for shoulder, elbow, wrist in ((11, 13, 15), (12, 14, 16)):
        upper = np.linalg.norm(points[:, shoulder] - points[:, elbow], axis=-1)
        lower = np.linalg.norm(points[:, elbow] - points[:, wrist], axis=-1)
        np.testing.assert_allclose(upper, who.upper_arm, rtol=1e-6)
        np.testing.assert_allclose(lower, who.forearm, rtol=1e-6)


def test_body_and_hand_wrists_coincide() -> None:
    rng = np.random.default_rng(0)
    who = signer(0, 0)
    points = body_points(*perform(lexicon(1)[0], who, timing(rng, speed=1.0, fps=30), rng=rng), who, rng=rng)
    np.testing.assert_allclose(points[:, [15, 16]], points[:, [33, 54]], atol=1e-9)


def test_left_handed_points_are_the_mirror_image_with_sides_exchanged() -> None:
    points = np.random.default_rng(0).normal(size=(2, 75, 3))
    right, left = (to_world(points, HOLISTIC, left_handed=handed) for handed in (False, True))
    np.testing.assert_array_equal(left * [-1, 1, 1], right[:, list(HOLISTIC.mirror)])


def test_the_right_hand_has_its_thumb_towards_the_left_when_the_palm_looks_at_the_viewer() -> None:
    frame = hand_frame(np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    points = hand_points(HANDSHAPES["spread"][None])[0] @ frame.T
    world = points * [-1, 1, 1]
    thumb, little = world[4], world[20]
    assert thumb[0] > 0 > little[0]


def test_a_frontal_camera_projects_as_a_pinhole() -> None:
    seen_from = View(yaw=0.0, pitch=0.0, roll=0.0, closeness=1.0, distance=2.0, centre=(0.5, 0.5))
    points = np.zeros((1, 75, 3))
    points[0, 0] = (0.3, 0.2, 1.0)
    points[0, 1] = (0.3, 0.2, 0.0)
    image = project(points, seen_from)[0]
    np.testing.assert_allclose(image[0], (0.5 + 0.6, 0.5 - 0.4, -1.0))
    np.testing.assert_allclose(image[1], (0.5 + 0.3, 0.5 - 0.2, 0.0))


def test_turning_between_frames_starts_and_ends_there_even_for_half_a_turn() -> None:
    start = hand_frame(np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    end = hand_frame(np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    turned = between(start, end, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(turned[0], start, atol=1e-9)
    np.testing.assert_allclose(turned[2], end, atol=1e-9)
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (3, 3, 3)), atol=1e-9)


def test_every_movement_differs_from_every_other() -> None:
    phase = np.linspace(0, 1, 40)
    made = [stroke(name, phase, cycles=2.0, start=0.1) for name in MOVEMENTS]
    flat = np.stack([np.c_[m.path, m.twist, m.nod, m.closed, m.wiggle].ravel() for m in made])
    gaps = np.abs(flat[:, None] - flat[None]).max(-1)
    assert gaps[~np.eye(len(made), dtype=bool)].min() > 0.3
