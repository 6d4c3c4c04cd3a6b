"""Who signs: proportions, handedness, speed, style and the usual camera of one signer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.gloss import LOCATIONS, ORIENTATIONS
from last_edge.data.synth.hand import HANDSHAPES, tilt

Array = NDArray[np.float64]
STREAM = 1
LEFT_HANDED_EVERY = 5
LEFT_HANDED_AT = 3
RESTS = ((0.24, -0.56, 0.03), (0.08, -0.42, 0.18))
"""Arms hang, or hands lie in the lap."""


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
        name=f"signer_{number:02d}",
        left_handed=number % LEFT_HANDED_EVERY == LEFT_HANDED_AT,
        shoulder_width=0.36 * size * rng.normal(1.0, 0.05),
        upper_arm=0.285 * size * rng.normal(1.0, 0.04),
        forearm=0.25 * size * rng.normal(1.0, 0.04),
        hand=0.185 * size * rng.normal(1.0, 0.05),
        torso=size * rng.normal(1.0, 0.05),
        head=size * rng.normal(1.0, 0.04),
        looseness=rng.uniform(0.0, 0.3),
        amplitude=rng.uniform(0.08, 0.13),
        speed=rng.uniform(0.75, 1.35),
        cycles=rng.uniform(1.7, 3.2),
        elbow_out=rng.uniform(0.2, 1.0),
        rest=np.asarray(RESTS[int(rng.integers(2))] + rng.normal(0.0, 0.02, 3)),
        yaw=rng.normal(0.0, 0.26),
        pitch=rng.normal(0.05, 0.10),
        closeness=rng.uniform(0.75, 1.15),
        distance=rng.uniform(1.2, 2.4),
        aspect=float(rng.choice([4 / 3, 16 / 9])),
        places={name: rng.normal(0.0, (0.02, 0.015, 0.02)) for name in LOCATIONS},
        turns={name: tilt(rng, 0.2) for name in ORIENTATIONS},
        fingers={name: rng.normal(0.0, 0.1, 13) for name in HANDSHAPES},
    )
