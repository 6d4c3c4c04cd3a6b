"""The table of movements: what path, wrist turn and finger play a stroke has over its phase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


# Circles in the time of one shake.
CIRCLES = 0.6


@dataclass(frozen=True)
class Stroke:
    """One hand's movement over T frames, relative to its place, frame and handshape.

    path: (T, 3) in amplitudes: towards the hand's own side, up, towards the viewer.
    twist, nod: (T,) radians about the fingers' direction and about the knuckles.
    closed: (T,) 0 = the gloss's handshape, 1 = a fist. wiggle: (T,) cycles of finger play; zeros for none.
    """

    path: Array
    twist: Array
    nod: Array
    closed: Array
    wiggle: Array


def stroke(name: str, phase: Array, *, cycles: float = 1.0, start: float = 0.0) -> Stroke:
    """The movement `name` at phases (T,) in 0..1.

    A repeated movement has so many cycles and begins `start` into the first; others ignore both.
    """
    return MOVEMENTS[name](phase, start + cycles * phase)


def smooth(phase: Array) -> Array:
    """Minimum-jerk progress 0..1 (Flash and Hogan 1985, eq. 3)."""
    clipped = np.clip(phase, 0.0, 1.0)
    return np.asarray(clipped**3 * (10 - 15 * clipped + 6 * clipped**2), np.float64)


def _make(phase: Array, path: tuple[Array | float, ...] = (0.0, 0.0, 0.0), **parts: Array) -> Stroke:
    still = np.zeros(len(phase))
    axes = np.stack([still + axis for axis in path], axis=-1)
    return Stroke(axes, *(parts.get(name, still) for name in ("twist", "nod", "closed", "wiggle")))


def _straight(side: float, up: float, out: float) -> Callable[[Array, Array], Stroke]:
    def move(phase: Array, turns: Array) -> Stroke:
        way = 2 * smooth(phase) - 1
        return _make(phase, (side * way, up * way, out * way))

    return move


def _circle(direction: float) -> Callable[[Array, Array], Stroke]:
    def move(phase: Array, turns: Array) -> Stroke:
        angle = direction * 2 * np.pi * CIRCLES * turns
        return _make(phase, (0.9 * np.sin(angle), 0.9 * np.cos(angle), 0.0))

    return move


def _forward(phase: Array, turns: Array) -> Stroke:
    way = smooth(phase)
    return _make(phase, (0.0, 0.4 - 0.8 * way, 2.6 * way - 0.4))


def _arc(phase: Array, turns: Array) -> Stroke:
    angle = np.pi * smooth(phase)
    return _make(phase, (-np.cos(angle), 1.1 * np.sin(angle) - 0.5, 0.0))


def _hold(phase: Array, turns: Array) -> Stroke:
    return _make(phase)


def _shake(phase: Array, turns: Array) -> Stroke:
    return _make(phase, (0.55 * np.sin(2 * np.pi * turns), 0.0, 0.0))


def _tap(phase: Array, turns: Array) -> Stroke:
    lift = np.sin(np.pi * turns) ** 2
    return _make(phase, (0.1 * lift, 0.15 * lift, 0.7 * lift))


def _twist(phase: Array, turns: Array) -> Stroke:
    return _make(phase, twist=0.75 * np.sin(2 * np.pi * turns))


def _nod(phase: Array, turns: Array) -> Stroke:
    return _make(phase, nod=0.65 * np.sin(2 * np.pi * turns))


def _wiggle(phase: Array, turns: Array) -> Stroke:
    return _make(phase, wiggle=turns + 2 * phase)


def _open(phase: Array, turns: Array) -> Stroke:
    return _make(phase, closed=1 - smooth(1.4 * phase - 0.2))


def _close(phase: Array, turns: Array) -> Stroke:
    return _make(phase, closed=smooth(1.4 * phase - 0.2))


MOVEMENTS: dict[str, Callable[[Array, Array], Stroke]] = {
    "hold": _hold,
    "down": _straight(0.0, -1.0, 0.0),
    "up": _straight(0.0, 1.0, 0.0),
    "across": _straight(-1.0, 0.0, 0.0),
    "aside": _straight(1.0, 0.0, 0.0),
    "forward": _forward,
    "arc": _arc,
    "circle": _circle(1.0),
    "loop": _circle(-1.0),
    "shake": _shake,
    "tap": _tap,
    "twist": _twist,
    "nod": _nod,
    "wiggle": _wiggle,
    "open": _open,
    "close": _close,
}
