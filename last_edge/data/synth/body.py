"""The articulated signer: arms by inverse kinematics, head, trunk and legs, as 75 points in metres.

Axes: towards the signing side, up, towards the viewer; the origin lies between the shoulders. The signing hand is the
layout's right hand; `camera` mirrors the left-handed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.hand import about_axis, hand_points
from last_edge.data.synth.signer import HandMotion, Signer

Array = NDArray[np.float64]
JOINTS = 75
LEFT_HAND, RIGHT_HAND = slice(33, 54), slice(54, 75)
SIDES = ("left", "right")
# Body points of MediaPipe order as (left, right) indices: shoulder, elbow, wrist, little finger, index, thumb.
ARM = {"left": (11, 13, 15, 17, 19, 21), "right": (12, 14, 16, 18, 20, 22)}
LITTLE, INDEX, THUMB = 17, 5, 2
# The right half of head and legs: index -> (own side, up, towards the viewer) in metres of an average adult.
NOSE = (0.0, 0.185, 0.12)
HEAD_RIGHT = {
    4: (0.017, 0.225, 0.095), 5: (0.032, 0.227, 0.088), 6: (0.047, 0.225, 0.078), 8: (0.075, 0.205, 0.0),
    10: (0.026, 0.145, 0.095),
}  # fmt: skip
HEAD_LEFT_OF = {4: 1, 5: 2, 6: 3, 8: 7, 10: 9}
NECK = np.array([0.0, 0.09, 0.0])
LEG_RIGHT = {
    24: (0.12, -0.50, 0.0), 26: (0.11, -0.92, 0.05), 28: (0.11, -1.32, 0.0), 30: (0.11, -1.38, -0.04),
    32: (0.13, -1.38, 0.13),
}  # fmt: skip
OTHER_SIDE = np.array([-1.0, 1.0, 1.0])
MOST_REACH = 0.985


def body_points(signing: HandMotion, other: HandMotion, signer: Signer, *, rng: np.random.Generator) -> Array:
    """(T, 75, 3) metres: both arms and hands after their motions, the rest of the body with a little sway."""
    frames = len(signing.wrist)
    points = np.zeros((frames, JOINTS, 3))
    _write_arm(points, "right", signing, signer)
    _write_arm(points, "left", other, signer)
    _write_head(points, signer, rng)
    for right, place in LEG_RIGHT.items():
        points[:, right] = np.array(place) * signer.torso
        points[:, right - 1] = np.array(place) * signer.torso * OTHER_SIDE
    lean = about_axis(np.array([0.0, 1.0, 0.0]), drift(rng, frames, 1)[:, 0] * 0.06)
    lean = lean @ about_axis(np.array([0.0, 0.0, 1.0]), drift(rng, frames, 1)[:, 0] * 0.03)
    upper = np.r_[:23, 33:75]
    points[:, upper] = points[:, upper] @ lean.transpose(0, 2, 1)
    return points + 0.01 * drift(rng, frames, 3)[:, None]


def drift(rng: np.random.Generator, frames: int, channels: int) -> Array:
    """Slow smooth noise (T, channels) of about unit deviation: three sine waves a channel."""
    rates = rng.uniform(0.3, 2.5, (3, 1, channels)) / 90
    waves = np.sin(2 * np.pi * (rates * np.arange(frames)[None, :, None] + rng.uniform(0, 1, (3, 1, channels))))
    return np.asarray((rng.normal(0.0, 0.8, (3, 1, channels)) * waves).sum(0))


def _write_arm(points: Array, side: str, hand: HandMotion, signer: Signer) -> None:
    """Shoulder, elbow, wrist, the body's three hand points and the 21 of the hand."""
    shoulder = np.array([signer.shoulder_width / 2, 0.0, 0.0])
    way, reach = hand.wrist - shoulder, (signer.upper_arm + signer.forearm) * MOST_REACH
    length = np.linalg.norm(way, axis=-1, keepdims=True)
    wrist = np.asarray(shoulder + way * np.minimum(1.0, reach / np.maximum(length, 1e-6)))
    fingers = wrist[:, None] + signer.hand * hand_points(hand.angles) @ hand.frame.transpose(0, 2, 1)
    elbow = _elbow(shoulder, wrist, signer)
    arm = [
        np.broadcast_to(shoulder, wrist.shape), elbow, wrist, *(fingers[:, joint] for joint in (LITTLE, INDEX, THUMB)),
    ]  # fmt: skip
    own = OTHER_SIDE if side == "left" else np.ones(3)
    points[:, ARM[side]] = np.stack(arm, axis=1) * own
    points[:, LEFT_HAND if side == "left" else RIGHT_HAND] = fingers * own


def _elbow(shoulder: Array, wrist: Array, signer: Signer) -> Array:
    """Two-bone inverse kinematics: of the circle of possible elbows the one that hangs down and outwards.

    Behind the arm while the hand is low, before it as the hand rises to the face.
    """
    way = wrist - shoulder
    length = np.linalg.norm(way, axis=-1, keepdims=True)
    along = way / np.maximum(length, 1e-6)
    reached = (signer.upper_arm**2 - signer.forearm**2 + length**2) / (2 * np.maximum(length, 1e-6))
    radius = np.sqrt(np.maximum(signer.upper_arm**2 - reached**2, 0.0))
    raised = np.clip((wrist[:, 1] + 0.4) / 0.6, 0.0, 1.0)
    pole = np.stack([signer.elbow_out + 0.3 * raised, np.full_like(raised, -1.0), raised - 0.35], axis=-1)
    aside = pole - (along * pole).sum(-1, keepdims=True) * along
    aside = aside / np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-6)
    return np.asarray(shoulder + reached * along + radius * aside)


def _write_head(points: Array, signer: Signer, rng: np.random.Generator) -> None:
    """The eleven face points, turned about the neck."""
    still = np.zeros((11, 3))
    still[0] = NOSE
    for right, place in HEAD_RIGHT.items():
        still[right] = place
        still[HEAD_LEFT_OF[right]] = np.array(place) * OTHER_SIDE
    turn = about_axis(np.array([0.0, 1.0, 0.0]), 0.12 * drift(rng, len(points), 1)[:, 0])
    turn = turn @ about_axis(np.array([1.0, 0.0, 0.0]), 0.08 * drift(rng, len(points), 1)[:, 0])
    points[:, :11] = signer.head * (NECK + (still - NECK) @ turn.transpose(0, 2, 1))
