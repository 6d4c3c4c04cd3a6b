"""Which of the people in view is followed, and who is who from one frame to the next: one rule for every source.

Whoever is nearest to where somebody was is that person. The one to follow is chosen once, by size or by place in the
picture, and kept until gone; another one is then chosen and that is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError

Points = NDArray[np.float32]
Person = Literal["largest", "left", "right", "centre"]
PERSONS: tuple[Person, ...] = get_args(Person)
REACH = 0.75
"""How far somebody moves from one frame to the next, in diagonals of the box about them ..."""
REACH_GROWS = 2.0
"""... and how much more for each second unseen."""
PATIENCE_S = 0.5
"""Seconds unseen after which another one may be followed."""
JUMP_S = 2.0
"""A change within this time is a jump; later somebody else has come."""
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Seen:
    """Somebody in one frame, or over many. x, y: middle of the points. size: diagonal of the box about them."""

    x: float
    y: float
    size: float

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> Seen | None:
        """Of points (..., C), NaN where missing; None where none is there."""
        flat = points.reshape(-1, points.shape[-1])[:, :2]
        flat = flat[~np.isnan(flat).any(-1)]
        if not len(flat):
            return None
        x, y = np.median(flat, axis=0)
        return cls(float(x), float(y), float(np.hypot(*(flat.max(0) - flat.min(0)))))

    def to(self, other: Seen) -> float:
        """The distance of the middles."""
        return float(np.hypot(self.x - other.x, self.y - other.y))


def check_person(person: str) -> Person:
    """Whom to follow; `UsageError` when it is none of `PERSONS`."""
    if person not in PERSONS:
        raise UsageError(f"unknown person {person!r}", expected=" or ".join(PERSONS))
    return person


def ranked(people: Sequence[Seen], person: Person, *, middle: float | None = None) -> list[int]:
    """Places of people, whom `person` means first. left, right: of the picture, smallest and largest x.

    middle: x of the picture's middle; None takes the middle between the outermost people.
    """
    xs = [each.x for each in people]
    centre = (min(xs, default=0.0) + max(xs, default=0.0)) / 2 if middle is None else middle
    keys: dict[Person, Callable[[Seen], float]] = {
        "largest": lambda each: -each.size,
        "left": lambda each: each.x,
        "right": lambda each: -each.x,
        "centre": lambda each: abs(each.x - centre),
    }
    return sorted(range(len(people)), key=lambda place: (keys[person](people[place]), -people[place].size))


class Tracks:
    """Gives people the same number from frame to frame, by their places."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Seen, float]] = {}
        self._next = 0

    def add(self, people: Sequence[Seen], time_s: float) -> list[int]:
        """The number of each person of a frame; those who were met before keep theirs."""
        pairs = []
        for number, (before, last_s) in self.known.items():
            for place, each in enumerate(people):
                reach = REACH * max(before.size, each.size) * (1 + REACH_GROWS * (time_s - last_s))
                if before.to(each) <= reach:
                    pairs.append((before.to(each), number, place))
        numbers: dict[int, int] = {}
        for _, number, place in sorted(pairs):
            if place not in numbers and number not in numbers.values():
                numbers[place] = number
        for place, each in enumerate(people):
            if place not in numbers:
                numbers[place], self._next = self._next, self._next + 1
            self.known[numbers[place]] = each, time_s
        self.known = {
            number: (each, last_s) for number, (each, last_s) in self.known.items() if time_s - last_s <= PATIENCE_S
        }
        return [numbers[place] for place in range(len(people))]


class Follower:
    """Keeps to one of the people in view, or to several, frame by frame.

    person: whom, see `ranked`. bodies: how many; the first is the one that `person` means. middle: see `ranked`, may be
    set at any time. notice: called with a sentence when another one is followed than just before.
    """

    def __init__(
        self, person: str = "largest", *, bodies: int = 1, middle: float | None = None,
        notice: Notice = lambda text: None,
    ) -> None:  # fmt: skip
        self.person, self.bodies, self.middle, self.notice = check_person(person), bodies, middle, notice
        self.clear()

    def clear(self) -> None:
        """Forget everybody: another recording begins."""
        self._tracks = Tracks()
        self._followed: list[int | None] = [None] * self.bodies
        self._last: list[tuple[Seen, float] | None] = [None] * self.bodies

    @property
    def followed(self) -> int | None:
        """The number of the first one who is followed, counted in the order in which people came; None for nobody."""
        return self._followed[0]

    def pick(self, people: Sequence[Seen | None], time_s: float) -> list[int | None]:
        """The place in `people` of each followed body, None for one that is not in view."""
        there = [place for place, each in enumerate(people) if each is not None]
        seen = [each for each in people if each is not None]
        numbers = self._tracks.add(seen, time_s)
        for body, number in enumerate(self._followed):
            if number not in self._tracks.known:
                self._followed[body] = None
        free = [
            place for place in ranked(seen, self.person, middle=self.middle) if numbers[place] not in self._followed
        ]
        chosen: list[int | None] = [None] * self.bodies
        for body in range(self.bodies):
            if self._followed[body] is None and free:
                place = free.pop(0)
                self._followed[body] = numbers[place]
                self._tell(body, seen[place], time_s)
            number = self._followed[body]
            if number in numbers:
                place = numbers.index(number)
                chosen[body], self._last[body] = there[place], (seen[place], time_s)
        return chosen

    def __call__(self, points: Points, time_s: float) -> Points:
        """(P, V, C) points of one frame's people -> (bodies, V, C) of those followed, NaN where not in view."""
        chosen = self.pick([Seen.of(each) for each in points], time_s)
        absent = np.full(points.shape[1:], np.nan, np.float32)
        return np.stack([absent if place is None else points[place] for place in chosen])

    def _tell(self, body: int, new: Seen, time_s: float) -> None:
        last = self._last[body]
        if last is None or time_s - last[1] > JUMP_S:
            return
        before = last[0]
        if before.to(new) > REACH * max(before.size, new.size):
            self.notice(jump(time_s, before.to(new)))


def jump(time_s: float, distance: float) -> str:
    """What is said of a change."""
    return f"from {time_s:.2f} s on somebody else is followed, {distance:.2f} away from the one before"


def follow_clip(
    frames: Sequence[Points], *, fps: float, person: str = "largest", bodies: int = 1, middle: float | None = None,
    notice: Notice = lambda text: None,
) -> list[Points]:  # fmt: skip
    """People of a whole recording, frames (P, V, C) of any number of people each -> up to `bodies` of (T, V, C).

    As `Follower`, with the whole recording in view: who is `largest` is decided over all of it, and whoever is there
    for less than half as long as another one is no choice while that one is there. Nobody at all gives an empty list.
    """
    whom, tracks = check_person(person), Tracks()
    joints = next((people.shape[1:] for people in frames if len(people)), (0, 2))
    found: dict[int, Points] = {}
    for row, people in enumerate(frames):
        seen = [Seen.of(each) for each in people]
        shown = [(each, points) for each, points in zip(seen, people, strict=True) if each is not None]
        for number, (_, points) in zip(tracks.add([each for each, _ in shown], row / fps), shown, strict=True):
            found.setdefault(number, np.full((len(frames), *joints), np.nan, np.float32))[row] = points
    left = list(found.values())
    chosen: list[Points] = []
    while left and len(chosen) < bodies:
        parts = [left.pop(foremost(left, whom, middle=middle))]
        while apart := [place for place, each in enumerate(left) if not any(_meet(each, part) for part in parts)]:
            parts.append(left.pop(apart[foremost([left[place] for place in apart], whom, middle=middle)]))
        parts.sort(key=_begin)
        body = parts[0]
        for before, after in pairwise(parts):
            gone, come = Seen.of(before[_over(before) - 1]), Seen.of(after[_begin(after)])
            if gone is not None and come is not None and _begin(after) - _over(before) <= JUMP_S * fps:
                notice(jump(_begin(after) / fps, gone.to(come)))
            body = np.where(np.isnan(body), after, body)
        chosen.append(body)
    return chosen


def people_of(
    points: Points, *, fps: float, person: str = "largest", bodies: int = 1, middle: float | None = None,
    notice: Notice = lambda text: None,
) -> Points:  # fmt: skip
    """As `follow_clip`, of (M, T, V, C) points: exactly `bodies` of them, NaN where nobody is."""
    frames = list(points.swapaxes(0, 1))
    found = follow_clip(frames, fps=fps, person=person, bodies=bodies, middle=middle, notice=notice)
    made = np.full((bodies, *points.shape[1:]), np.nan, np.float32)
    for body, track in enumerate(found):
        made[body] = track
    return made


def foremost(tracks: Sequence[Points], person: Person, *, middle: float | None = None) -> int:
    """Which of people (T, V, C) is meant, of those seen at least half as long as the one seen longest."""
    shown = [(~np.isnan(track).any(-1)).any(-1) for track in tracks]
    longest = max(int(here.sum()) for here in shown)
    places, people = [], []
    for place, (track, here) in enumerate(zip(tracks, shown, strict=True)):
        each = [one for one in map(Seen.of, track[here]) if one is not None]
        if 2 * len(each) >= longest:
            x, y, size = (float(np.mean([getattr(one, name) for one in each])) for name in ("x", "y", "size"))
            places.append(place)
            people.append(Seen(x, y, size))
    return places[ranked(people, person, middle=middle)[0]]


def _meet(one: Points, other: Points) -> bool:
    """Whether two are there at one time."""
    return _begin(one) < _over(other) and _begin(other) < _over(one)


def _begin(track: Points) -> int:
    return int(np.flatnonzero((~np.isnan(track).any(-1)).any(-1))[0])


def _over(track: Points) -> int:
    """The row after the last that shows anything."""
    return int(np.flatnonzero((~np.isnan(track).any(-1)).any(-1))[-1]) + 1
