"""Who signs, and how a gloss is signed: proportions, style, phases of a clip, and the path of each hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.gloss import LOCATIONS, ORIENTATIONS, Gloss, Stroke, smooth, stroke
from last_edge.data.synth.hand import FIST, HANDSHAPES, PALM_CENTRE, RELAXED, about_axis, between, hand_frame, tilt

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
