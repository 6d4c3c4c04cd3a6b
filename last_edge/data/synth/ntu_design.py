"""Which clips NTU RGB+D has: its ids as far as published figures fix them, and how many each protocol counts.

Whoever performed in a setup did all sixty actions of that half of the data twice before three cameras: 360 clips. The
published totals are therefore numbers of such (setup, subject) groups, and the missing list closes the sum: after
leaving it out the counts are those that publications give. Which subject met which setup is not published as such.
The missing list names 174 of the 318 groups, the others are filled in here by rule. Counts by protocol, class,
camera and repetition are exact, counts of one subject or one setup are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from last_edge.data.readers.ntu_missing import missing_ids
from last_edge.data.readers.ntu_names import CLASSES, SPLIT_TYPES, TRAIN_SUBJECTS, NtuName, parse_id

CAMERAS = (1, 2, 3)
REPEATS = (1, 2)
ACTIONS_OF_HALF = 60
GROUP = len(CAMERAS) * len(REPEATS) * ACTIONS_OF_HALF

PUBLISHED = {
    (60, "xsub"): {"all": (40_320, 16_560), "kept": (40_091, 16_487)},
    (60, "xview"): {"all": (37_920, 18_960), "kept": (37_646, 18_932)},
    (120, "xsub"): {"all": (63_360, 51_120), "kept": (63_026, 50_919)},
    (120, "xset"): {"all": (54_720, 59_760), "kept": (54_468, 59_477)},
}
"""(classes, protocol) -> (train, test) clips of the whole data set, and without the missing list."""

Group = tuple[int, int]
"""(setup, subject)."""


@dataclass(frozen=True, eq=False)
class Half:
    """The first sixty actions or the second: setups, subjects, and groups by (subject trains, setup is even).

    The protocols fix the sums over subjects in each half and over setups in both; the rest is chosen evenly.
    """

    actions: range
    setups: range
    subjects: range
    groups: dict[tuple[bool, bool], int]


HALVES = (
    Half(
        range(1, 61),
        range(1, 18),
        range(1, 41),
        {(True, True): 51, (True, False): 61, (False, True): 21, (False, False): 25},
    ),
    Half(
        range(61, 121),
        range(18, 33),
        range(41, 107),
        {(True, True): 32, (True, False): 32, (False, True): 48, (False, False): 48},
    ),
)


def cell(group: Group) -> tuple[bool, bool]:
    """(subject trains, setup is even): what decides a group's split under xsub and xset."""
    return group[1] in TRAIN_SUBJECTS, group[0] % 2 == 0


@cache
def groups_of(half: Half) -> tuple[Group, ...]:
    """The (setup, subject) groups of a half in order."""
    names = [name for name in map(parse_id, missing_ids()) if name is not None and name.action in half.actions]
    chosen = {(name.setup, name.subject) for name in names}
    for kind, count in half.groups.items():
        while sum(cell(group) == kind for group in chosen) < count:
            chosen.add(_next_group(half, kind, chosen))
    return tuple(sorted(chosen))


def _next_group(half: Half, kind: tuple[bool, bool], chosen: set[Group]) -> Group:
    """The pair of a kind, not chosen yet, whose subject and then whose setup have the fewest groups."""
    setups = Counter(setup for setup, _ in chosen)
    subjects = Counter(subject for _, subject in chosen)
    free = {group for group in product(half.setups, half.subjects) if cell(group) == kind} - chosen
    return min(free, key=lambda group: (subjects[group[1]], setups[group[0]], group))


def names_of(groups: Iterable[Group], actions: Sequence[int]) -> Iterator[NtuName]:
    """Every clip of some groups, sorted as files are."""
    for setup, subject in groups:
        for camera, repeat, action in product(CAMERAS, REPEATS, actions):
            yield NtuName.of(setup, camera, subject, repeat, action)


def all_names(classes: int) -> Iterator[NtuName]:
    """Every clip of NTU 60 or 120."""
    for half in HALVES[: CLASSES.index(classes) + 1]:
        yield from names_of(groups_of(half), half.actions)


def part(classes: int, *, groups: int, actions: int) -> list[NtuName]:
    """A small set that is whole in itself: some groups of each half with some actions, all cameras and repetitions.

    groups, actions: of each half; 0 takes all. Groups come from all four kinds in turn, so that every protocol has
    something to train on and to test; actions are spread evenly and end with one of two people.
    """
    names: list[NtuName] = []
    for half in HALVES[: CLASSES.index(classes) + 1]:
        some = sorted(_in_turn(groups_of(half))[: groups or None])
        names += names_of(some, _spread(half.actions, actions))
    return names


def _in_turn(groups: Sequence[Group]) -> list[Group]:
    kinds = [[group for group in groups if cell(group) == kind] for kind in product((True, False), repeat=2)]
    kinds = [kinds[0], kinds[3], kinds[1], kinds[2]]
    return [kind[turn] for turn in range(len(groups)) for kind in kinds if turn < len(kind)]


def _spread(actions: Sequence[int], count: int) -> list[int]:
    count = min(count or len(actions), len(actions))
    return [actions[(place + 1) * len(actions) // count - 1] for place in range(count)]


def count_splits(names: Iterable[NtuName], *, without: frozenset[str] = frozenset()) -> dict[str, dict[str, int]]:
    """Protocol -> split -> clips, leaving out the ids in `without`."""
    kept = [name for name in names if name.clip_id not in without]
    return {kind: dict(sorted(Counter(name.split(kind) for name in kept).items())) for kind in SPLIT_TYPES}
