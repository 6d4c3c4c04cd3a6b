"""Motion that is no gesture: hands at rest, on their way, busy with something else, half out of the picture.

Every clip is of one kind and has a generator of its own, by seed, kind and number alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from last_edge.data.synth.generate import project, to_world, track, view
from last_edge.data.synth.gloss import LOCATIONS, lexicon, smooth
from last_edge.data.synth.hand import HANDSHAPES, RELAXED, Array, between, hand_frame
from last_edge.data.synth.signer import (
    LEFT_HAND,
    REST_FRAME,
    RIGHT_HAND,
    HandMotion,
    Signer,
    body_points,
    drift,
    perform,
    signer,
    timing,
)
from last_edge.skeleton import get_layout

LAYOUT = "mediapipe_holistic75"
STREAM = 4
FPS = 30.0
SECONDS = (1.0, 4.0)
NOISE, DROPS, MANY_DROPS = 0.004, 0.05, 0.45
OTHER_SIGNS = 40
PLACES = np.array(list(LOCATIONS.values()))
AWAY = np.array([-1.0, 1.0, -1.0])
"""World axes (own left, up, towards the viewer) to those of depth sensors (own right, up, away)."""


@dataclass(frozen=True)
class Recording:
    """One clip of two hands and the body, 75 points: image (T, 75, 3) as a tracker reports it, NaN where lost; metres
    (T, 75, 3) of a depth sensor, x to the person's own right, y up, z away from the sensor, NaN in the same places.
    """

    kind: str
    subject: str
    image: Array
    metres: Array
    confidence: Array


def record(kind: str, number: int, *, seed: int, right_handed: bool = False) -> Recording:
    """Clip `number` of a kind out of `KINDS`. right_handed: the hand that moves is the right one, whoever moves it."""
    rng = np.random.default_rng([seed, STREAM, zlib.crc32(kind.encode()), number])
    who = signer(int(rng.integers(1000)), seed)
    if right_handed:
        who = replace(who, left_handed=False)
    frames = round(float(rng.uniform(*SECONDS)) * FPS)
    hands = KINDS[kind](who, frames, rng)
    world = to_world(body_points(*hands, who, rng=rng), get_layout(LAYOUT), left_handed=who.left_handed)
    seen_from = view(who, rng)
    partly = kind == "partly"
    if partly:  # the picture ends somewhere across the hand
        seen_from = replace(seen_from, closeness=seen_from.closeness * float(rng.uniform(1.4, 2.2)))
    image, confidence = track(
        project(world, seen_from), noise=NOISE, drop_rate=MANY_DROPS if partly else DROPS, rng=rng
    )
    if partly:
        _lose_fingers(image, confidence, rng)
    metres = world * AWAY + rng.normal(0.0, 0.002, world.shape)
    metres[np.isnan(image)] = np.nan
    return Recording(kind, f"background_{who.name}", image, metres, confidence)


def _lose_fingers(image: Array, confidence: Array, rng: np.random.Generator) -> None:
    """What lies beyond a line across the picture is not seen."""
    for hand in (LEFT_HAND, RIGHT_HAND):
        axis, above = int(rng.integers(2)), bool(rng.integers(2))
        values = image[:, hand, axis]
        if np.isnan(values).all():
            continue
        edge = float(np.nanquantile(values, rng.uniform(0.3, 0.7)))
        lost = values > edge if above else values < edge
        image[:, hand][lost] = np.nan
        confidence[:, hand][lost] = 0.0


def _through(poses: list[tuple[Array, Array, Array]], frames: int, rng: np.random.Generator) -> HandMotion:
    """A hand that goes smoothly from pose to pose (wrist, frame, angles), unevenly fast, and trembles as it does."""
    moments = np.concatenate([[0.0], np.cumsum(rng.uniform(0.4, 1.6, len(poses) - 1))])
    moments *= (frames - 1) / moments[-1]
    wrist, frame, angles = (np.zeros((frames, *part.shape)) for part in poses[0])
    for leg, (one, other) in enumerate(zip(poses, poses[1:], strict=False)):
        rows = np.arange(int(np.ceil(moments[leg])), int(np.floor(moments[leg + 1])) + 1)
        share = smooth((rows - moments[leg]) / max(moments[leg + 1] - moments[leg], 1e-9))
        wrist[rows] = one[0] + share[:, None] * (other[0] - one[0])
        frame[rows] = between(one[1], other[1], share)
        angles[rows] = one[2] + share[:, None] * (other[2] - one[2])
    wrist += 0.004 * drift(rng, frames, 3)
    return HandMotion(wrist, frame, angles + 0.03 * drift(rng, frames, 13))


def _rest(who: Signer, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    return who.rest + rng.normal(0.0, 0.02, 3), REST_FRAME, RELAXED + rng.normal(0.0, 0.12, 13)


def _somewhere(who: Signer, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Any pose that a hand takes before the body: a place, a direction, fingers between relaxed and any handshape."""
    place = PLACES[int(rng.integers(len(PLACES)))] * who.torso + rng.normal(0.0, 0.07, 3)
    fingers, palm = rng.normal(0.0, 1.0, (2, 3)) + np.array([[-0.3, 0.8, 0.3], [0.0, 0.0, 0.0]])
    shape = HANDSHAPES[str(rng.choice(sorted(HANDSHAPES)))]
    angles = RELAXED + rng.uniform(0.0, 1.0) * (shape - RELAXED) + rng.normal(0.0, 0.1, 13)
    return place, hand_frame(fingers, palm), angles


def _idle(who: Signer, frames: int, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """Both hands rest, and shift a little."""
    return tuple(_through([_rest(who, rng), _rest(who, rng)], frames, rng) for _ in range(2))  # type: ignore[return-value]


def _other(who: Signer, frames: int, rng: np.random.Generator) -> HandMotion:
    """The other hand: mostly at rest, sometimes it does something too."""
    pose = _somewhere if rng.random() < 0.3 else _rest
    return _through([pose(who, rng), pose(who, rng)], frames, rng)


def _held(who: Signer, frames: int, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """A hand that is up and does nothing."""
    wrist, frame, angles = _somewhere(who, rng)
    later = wrist + rng.normal(0.0, 0.015, 3), frame, angles + rng.normal(0.0, 0.08, 13)
    return _through([(wrist, frame, angles), later], frames, rng), _other(who, frames, rng)


def _on_the_way(who: Signer, frames: int, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """From rest to somewhere, back, or both."""
    poses = [_rest(who, rng), _somewhere(who, rng)]
    poses = [poses, poses[::-1], [*poses, _rest(who, rng)]][int(rng.integers(3))]
    return _through(poses, frames, rng), _other(who, frames, rng)


def _motion(who: Signer, frames: int, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """From pose to pose, in an order that means nothing."""
    count = max(3, round(frames / FPS * float(rng.uniform(1.2, 2.5))))
    return _through([_somewhere(who, rng) for _ in range(count)], frames, rng), _other(who, frames, rng)


def _busy(who: Signer, frames: int, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """Small quick motion in one place: typing, scratching, turning something over."""
    wrist, frame, angles = _somewhere(who, rng)
    count = max(4, round(frames / FPS * float(rng.uniform(3, 6))))
    reach, grip = rng.uniform(0.01, 0.05), rng.uniform(0.1, 0.6)
    poses = [
        (wrist + rng.normal(0.0, reach, 3), frame, angles + rng.normal(0.0, grip, 1) + rng.normal(0.0, grip / 2, 13))
        for _ in range(count)
    ]
    return _through(poses, frames, rng), _other(who, frames, rng)


def _sign(who: Signer, frames: int, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """A sign out of the part of the lexicon that no set of known signs touches."""
    glosses = lexicon(OTHER_SIGNS, unknown=True)
    return perform(glosses[int(rng.integers(len(glosses)))], who, timing(rng, speed=who.speed, fps=FPS), rng=rng)


def _partly(who: Signer, frames: int, rng: np.random.Generator) -> tuple[HandMotion, HandMotion]:
    """Any of the others, at the edge of the picture and lost half of the time."""
    return (_held, _on_the_way, _motion, _busy)[int(rng.integers(4))](who, frames, rng)


Kind = Callable[[Signer, int, np.random.Generator], tuple[HandMotion, HandMotion]]
KINDS: dict[str, Kind] = {
    "idle": _idle, "held": _held, "on_the_way": _on_the_way, "motion": _motion, "busy": _busy, "sign": _sign,
    "partly": _partly,
}  # fmt: skip
