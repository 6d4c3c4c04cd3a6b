"""The lexicon: glosses composed of handshape, location, movement and orientation, one- or two-handed; the movements.

The lexicon comes in families of five, a root and four minimal pairs of it that differ from it in one component each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import cycle, product, starmap

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.hand import HANDSHAPES
from last_edge.errors import UsageError

Array = NDArray[np.float64]

# Circles in the time of one shake.
CIRCLES = 0.6
# Where the palm is, in metres of an average adult from between the shoulders: own side, up, towards the viewer.
LOCATIONS: dict[str, tuple[float, float, float]] = {
    "forehead": (0.06, 0.265, 0.16), "cheek": (0.13, 0.17, 0.13), "chin": (0.02, 0.06, 0.17),
    "shoulder": (-0.13, -0.03, 0.16), "chest": (0.05, -0.13, 0.17), "space": (0.20, -0.12, 0.30),
    "side": (0.33, 0.08, 0.20), "waist": (0.14, -0.34, 0.24),
}  # fmt: skip
# Directions of the fingers and of the palm, in the same axes.
ORIENTATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "palm_out": ((-0.1, 1.0, 0.1), (0.0, 0.0, 1.0)),
    "palm_in": ((-0.65, 0.75, 0.1), (0.0, 0.0, -1.0)),
    "palm_down": ((-0.65, 0.1, 0.75), (0.0, -1.0, 0.0)),
    "palm_up": ((-0.45, 0.1, 0.85), (0.0, 1.0, 0.0)),
    "palm_side": ((0.0, 0.65, 0.75), (-1.0, 0.0, 0.0)),
}
# one: the other hand rests; both: it does the same, mirrored; base: it lies flat below the signing hand.
HANDS = ("one", "both", "base")
BASE_PLACES = ("chest", "space", "waist")
FINGER_PLAY = ("wiggle", "open", "close")
NEEDS_FINGERS = ("fist", "thumb")
RESERVED_SHARE = 0.25
# Orders the combinations; this one gives the first twenty glosses varied components and one- and two-handed signs.
LEXICON_SEED = 420
# Components in which a family's members differ from its root, for families in turn; movements most of all, because
# they alone cannot be told from where a hand is and how it looks.
FAMILIES = (("movement", "handshape", "movement", "location"), ("movement", "handshape", "movement", "orientation"))


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


def _straight(phase: Array, side: float, up: float, out: float) -> Stroke:
    way = 2 * smooth(phase) - 1
    return _make(phase, (side * way, up * way, out * way))


def _circle(phase: Array, turns: Array, direction: float) -> Stroke:
    angle = direction * 2 * np.pi * CIRCLES * turns
    return _make(phase, (0.9 * np.sin(angle), 0.9 * np.cos(angle), 0.0))


def _arc(phase: Array) -> Stroke:
    angle = np.pi * smooth(phase)
    return _make(phase, (-np.cos(angle), 1.1 * np.sin(angle) - 0.5, 0.0))


def _tap(phase: Array, turns: Array) -> Stroke:
    lift = np.sin(np.pi * turns) ** 2
    return _make(phase, (0.1 * lift, 0.15 * lift, 0.7 * lift))


MOVEMENTS: dict[str, Callable[[Array, Array], Stroke]] = {
    "hold": lambda phase, turns: _make(phase),
    "down": lambda phase, turns: _straight(phase, 0.0, -1.0, 0.0),
    "up": lambda phase, turns: _straight(phase, 0.0, 1.0, 0.0),
    "across": lambda phase, turns: _straight(phase, -1.0, 0.0, 0.0),
    "aside": lambda phase, turns: _straight(phase, 1.0, 0.0, 0.0),
    "forward": lambda phase, turns: _make(phase, (0.0, 0.4 - 0.8 * smooth(phase), 2.6 * smooth(phase) - 0.4)),
    "arc": lambda phase, turns: _arc(phase),
    "circle": lambda phase, turns: _circle(phase, turns, 1.0),
    "loop": lambda phase, turns: _circle(phase, turns, -1.0),
    "shake": lambda phase, turns: _make(phase, (0.55 * np.sin(2 * np.pi * turns), 0.0, 0.0)),
    "tap": _tap,
    "twist": lambda phase, turns: _make(phase, twist=0.75 * np.sin(2 * np.pi * turns)),
    "nod": lambda phase, turns: _make(phase, nod=0.65 * np.sin(2 * np.pi * turns)),
    "wiggle": lambda phase, turns: _make(phase, wiggle=turns + 2 * phase),
    "open": lambda phase, turns: _make(phase, closed=1 - smooth(1.4 * phase - 0.2)),
    "close": lambda phase, turns: _make(phase, closed=smooth(1.4 * phase - 0.2)),
}


# What each component may be.
VALUES: dict[str, tuple[str, ...]] = {
    "handshape": tuple(HANDSHAPES), "location": tuple(LOCATIONS), "movement": tuple(MOVEMENTS),
    "orientation": tuple(ORIENTATIONS), "hands": HANDS,
}  # fmt: skip


@dataclass(frozen=True)
class Gloss:
    """One sign of the lexicon; `name` joins its components and is its label."""

    handshape: str
    location: str
    movement: str
    orientation: str
    hands: str

    @property
    def name(self) -> str:
        """Such as `vee-chin-arc-palm_in`; two-handed glosses end in `-both` or `-base`."""
        ending = "" if self.hands == "one" else f"-{self.hands}"
        return f"{self.handshape}-{self.location}-{self.movement}-{self.orientation}{ending}"


def lexicon(count: int, *, unknown: bool = False) -> tuple[Gloss, ...]:
    """The first `count` glosses; a longer lexicon starts with the shorter one.

    unknown: take them from the reserved quarter of all combinations, disjoint from every known lexicon.
    Raises `UsageError` when there are not so many.
    """
    pool = _pools()[unknown]
    if count > len(pool):
        raise UsageError(f"the lexicon has no {count} glosses", expected=f"at most {len(pool)}", got=count)
    return _families(pool, count)


@lru_cache(maxsize=1)
def _pools() -> tuple[tuple[Gloss, ...], tuple[Gloss, ...]]:
    """All possible glosses in a fixed random order, parted into known and reserved."""
    possible = [gloss for gloss in starmap(Gloss, product(*VALUES.values())) if _can_be_signed(gloss)]
    order = np.random.default_rng(LEXICON_SEED).permutation(len(possible))
    known = int(len(possible) * (1 - RESERVED_SHARE))
    return tuple(possible[i] for i in order[:known]), tuple(possible[i] for i in order[known:])


def _can_be_signed(gloss: Gloss) -> bool:
    """False where two components would hide or contradict each other."""
    hidden = gloss.movement in FINGER_PLAY and gloss.handshape in NEEDS_FINGERS
    crossed = gloss.hands == "both" and gloss.location == "shoulder"
    floating = gloss.hands == "base" and gloss.location not in BASE_PLACES
    return not (hidden or crossed or floating)


@lru_cache(maxsize=8)
def _families(pool: tuple[Gloss, ...], count: int) -> tuple[Gloss, ...]:
    """The pool in families: a root, then the root with one component exchanged at a time."""
    rng = np.random.default_rng(LEXICON_SEED)
    chosen: list[Gloss] = []
    free = dict.fromkeys(pool)
    for varied in cycle(FAMILIES):
        if len(chosen) >= count:
            break
        root = next(iter(free))
        family = [root]
        del free[root]
        for component in varied:
            variants = [replace(root, **{component: str(value)}) for value in rng.permutation(VALUES[component])]
            variant = next((gloss for gloss in variants if gloss in free), None)
            if variant is not None:
                family.append(variant)
                del free[variant]
        chosen.extend(family)
    return tuple(chosen[:count])
