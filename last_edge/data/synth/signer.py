"""Who signs, and how a gloss is signed: proportions, style, phases of a clip, the path of each hand, and its body.

The body is 75 points in metres, its arms by inverse kinematics. Axes: towards the signing side, up, towards the viewer;
the origin lies between the shoulders. The signing hand is the layout's right hand; `camera` mirrors the left-handed.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.gloss import LOCATIONS, ORIENTATIONS, Gloss, Stroke, smooth, stroke
from last_edge.data.synth.hand import (
    FIST,
    HANDSHAPES,
    PALM_CENTRE,
    RELAXED,
    about_axis,
    between,
    hand_frame,
    hand_points,
    tilt,
)

Array = NDArray[np.float64]
STREAM = 1
LEFT_HANDED_EVERY = 5
LEFT_HANDED_AT = 3
RESTS = ((0.24, -0.56, 0.03), (0.08, -0.42, 0.18))
"""Arms hang, or hands lie in the lap."""
SHORTEST, LONGEST, MOST_STILL = 1.0, 3.0, 1.6
REST_FRAME = hand_frame(np.array([0.0, -1.0, 0.15]), np.array([-1.0, 0.0, -0.2]))
BASE = Gloss("flat", "chest", "hold", "palm_up", "one")
MIDLINE_GAP = 0.11
ALONG, ACROSS = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
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


@dataclass(frozen=True)
class Signer:
    """One subject. Lengths in metres, angles in radians, offsets as (own side, up, towards the viewer).

    looseness: how far a handshape stays relaxed, 0..1. amplitude: half the length of a path.
    cycles: of a repeated movement.
    speed: 1 is average. rest: where the palm lies before and after a sign.
    yaw, pitch: from where the camera looks. closeness: image heights a metre at the shoulders.
    """

    name: str
    left_handed: bool
    shoulder_width: float
    upper_arm: float
    forearm: float
    hand: float
    torso: float
    head: float
    looseness: float
    amplitude: float
    speed: float
    cycles: float
    elbow_out: float
    rest: Array
    yaw: float
    pitch: float
    closeness: float
    distance: float
    aspect: float
    places: dict[str, Array] = field(default_factory=dict)
    turns: dict[str, Array] = field(default_factory=dict)
    fingers: dict[str, Array] = field(default_factory=dict)


def signer(number: int, seed: int) -> Signer:
    """Signer `number` of a seed; independent of how many others there are. One in five is left-handed."""
    rng = np.random.default_rng([seed, STREAM, number])
    size = rng.normal(1.0, 0.06)
    return Signer(
        name=f"signer_{number:02d}", left_handed=number % LEFT_HANDED_EVERY == LEFT_HANDED_AT,
        shoulder_width=0.36 * size * rng.normal(1.0, 0.05), upper_arm=0.285 * size * rng.normal(1.0, 0.04),
        forearm=0.25 * size * rng.normal(1.0, 0.04), hand=0.185 * size * rng.normal(1.0, 0.05),
        torso=size * rng.normal(1.0, 0.05), head=size * rng.normal(1.0, 0.04), looseness=rng.uniform(0.0, 0.3),
        amplitude=rng.uniform(0.08, 0.13), speed=rng.uniform(0.75, 1.35), cycles=rng.uniform(1.7, 3.2),
        elbow_out=rng.uniform(0.2, 1.0), rest=np.asarray(RESTS[int(rng.integers(2))] + rng.normal(0.0, 0.02, 3)),
        yaw=rng.normal(0.0, 0.26), pitch=rng.normal(0.05, 0.10), closeness=rng.uniform(0.75, 1.15),
        distance=rng.uniform(1.2, 2.4), aspect=float(rng.choice([4 / 3, 16 / 9])),
        places={name: rng.normal(0.0, (0.02, 0.015, 0.02)) for name in LOCATIONS},
        turns={name: tilt(rng, 0.2) for name in ORIENTATIONS},
        fingers={name: rng.normal(0.0, 0.1, 13) for name in HANDSHAPES},
    )  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Progress over T frames: `raised` (T,) 0 at rest and 1 while signing; `phase` (T,) 0..1 through the stroke."""

    raised: Array
    phase: Array

    @property
    def signing(self) -> NDArray[np.bool_]:
        """(T,) true in the stroke."""
        return np.asarray((self.phase > 0) & (self.phase < 1))


@dataclass(frozen=True)
class HandMotion:
    """One hand in its own side's axes: wrist (T, 3) metres, frame (T, 3, 3), angles (T, 13) radians."""

    wrist: Array
    frame: Array
    angles: Array


def timing(rng: np.random.Generator, *, speed: float, fps: float) -> Timing:
    """Draw rest, raise, wait, stroke, wait, lower, rest: 1 to 3 seconds together."""
    parts = rng.uniform((0.25, 0.0, 0.7, 0.0, 0.25), (0.5, 0.35, 1.3, 0.35, 0.5)) / speed
    parts *= min(1.0, (LONGEST - 0.3) / parts.sum())
    lift, wait, body, stay, lower = parts
    still = rng.uniform(0.0, min(MOST_STILL, LONGEST - parts.sum()))
    start = still * rng.uniform() + lift
    end = start + wait + body + stay
    total = max(SHORTEST, parts.sum() + still)
    times = np.arange(round(total * fps)) / fps
    raised = smooth((times - start + lift) / lift) - smooth((times - end) / lower)
    return Timing(raised, np.clip((times - start - wait) / body, 0.0, 1.0))


def perform(gloss: Gloss, signer: Signer, when: Timing, *, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """The signing hand's motion and the other hand's, each in the axes of its own side."""
    cycles = signer.cycles + rng.uniform(-0.5, 0.5)
    move = stroke(gloss.movement, when.phase, cycles=cycles, start=rng.uniform(0.01, 1.0))
    amplitude = signer.amplitude * rng.uniform(0.8, 1.2)
    signing = _motion(gloss, signer, when, move, amplitude, rng)
    still = stroke("hold", when.phase)
    if gloss.hands == "both":
        return signing, _motion(gloss, signer, when, move, amplitude, rng)
    if gloss.hands == "base":
        base = _motion(BASE, signer, when, still, amplitude, rng)
        below = _place(gloss, signer) + np.array([-0.06, -0.11, 0.02])
        below[0] = max(-below[0], -0.02)
        offset = when.raised[:, None] * (below - _place(BASE, signer))
        return signing, HandMotion(base.wrist + offset, base.frame, base.angles)
    calm = Timing(np.zeros_like(when.raised), when.phase)
    return signing, _motion(BASE, signer, calm, still, amplitude, rng)


def _place(gloss: Gloss, signer: Signer) -> Array:
    place = np.array(LOCATIONS[gloss.location])
    place *= signer.head if place[1] > 0 else signer.torso
    if gloss.hands == "both":
        place[0] = max(place[0], MIDLINE_GAP)
    return np.asarray(place + signer.places[gloss.location])


def _motion(
    gloss: Gloss, signer: Signer, when: Timing, move: Stroke, amplitude: float, rng: np.random.Generator
) -> HandMotion:
    raised = when.raised[:, None]
    place = _place(gloss, signer) + rng.normal(0.0, 0.015, 3)
    rest = signer.rest + rng.normal(0.0, 0.015, 3)
    path = place + amplitude * move.path
    arch = 0.05 * np.sin(np.pi * raised) * np.array([0.3, 0.0, 1.0])
    frame = _frames(gloss, signer, when, rng)
    wrist = rest + raised * (path - rest) + arch - PALM_CENTRE * signer.hand * frame[:, :, 1]
    play = about_axis(ALONG, when.raised * move.twist) @ about_axis(ACROSS, when.raised * move.nod)
    return HandMotion(wrist, frame @ play, _angles(gloss, signer, when, move, rng))


def _frames(gloss: Gloss, signer: Signer, when: Timing, rng: np.random.Generator) -> Array:
    """(T, 3, 3) hand frames from rest to the gloss's orientation, as this signer holds it."""
    fingers, palm = (np.array(direction) for direction in ORIENTATIONS[gloss.orientation])
    target = tilt(rng, 0.1) @ signer.turns[gloss.orientation] @ hand_frame(fingers, palm)
    return between(tilt(rng, 0.1) @ REST_FRAME, target, when.raised)


def _angles(gloss: Gloss, signer: Signer, when: Timing, move: Stroke, rng: np.random.Generator) -> Array:
    """(T, 13) joint angles: the handshape as this signer forms it, closed and wiggled as the movement asks."""
    ideal = HANDSHAPES[gloss.handshape] + signer.fingers[gloss.handshape] + rng.normal(0.0, 0.05, 13)
    loose = signer.looseness * rng.uniform(0.7, 1.3)
    shape = ideal + loose * (RELAXED - ideal)
    open_or_fist = shape + move.closed[:, None] * (FIST - shape)
    beat = 2 * np.pi * (move.wiggle[:, None] + np.arange(4) / 4)
    open_or_fist[:, :4] += 0.35 * (1 + np.sin(beat)) * (move.wiggle[:, None] != 0)
    relaxed = RELAXED + rng.normal(0.0, 0.1, 13)
    shaped = smooth(2 * when.raised)[:, None]
    return np.asarray(relaxed + shaped * (open_or_fist - relaxed))


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
