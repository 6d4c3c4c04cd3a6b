"""Made NTU RGB+D: which clips it has, as far as published figures fix them, and recordings of them as `.skeleton` text.

Whoever performed in a setup did all sixty actions of that half of the data twice before three cameras: 360 clips. The
published totals are therefore numbers of such (setup, subject) groups, and the missing list closes the sum: after
leaving it out the counts are those that publications give. Which subject met which setup is not published as such.
The missing list names 174 of the 318 groups, the others are filled in here by rule. Counts by protocol, class,
camera and repetition are exact, counts of one subject or one setup are not.

A recording shows a jointed body that performs an action, seen by one of the three cameras.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers import ntu
from last_edge.skeleton.layout import PLANES, rotation

CAMERAS = (1, 2, 3)
REPEATS = (1, 2)

PUBLISHED = {
    (60, "xsub"): {"all": (40_320, 16_560), "kept": (40_091, 16_487)},
    (60, "xview"): {"all": (37_920, 18_960), "kept": (37_646, 18_932)},
    (120, "xsub"): {"all": (63_360, 51_120), "kept": (63_026, 50_919)},
    (120, "xset"): {"all": (54_720, 59_760), "kept": (54_468, 59_477)},
}
"""(classes, protocol) -> (train, test) clips of the whole data set, and without the missing list."""

KINDS = ((True, True), (False, False), (True, False), (False, True))
"""The kinds of groups (see `cell`) in the order in which a small set takes them."""

Group = tuple[int, int]
"""(setup, subject)."""
Points = NDArray[np.float64]
Random = np.random.Generator
HALF_BODY = (
    (0.0, 0.0), (0.0, 0.27), (0.0, 0.57), (0.0, 0.72),
    (-0.18, 0.48), (-0.22, 0.22), (-0.24, -0.02), (-0.24, -0.10), (0.18, 0.48), (0.22, 0.22), (0.24, -0.02),
    (0.24, -0.10), (-0.09, -0.04), (-0.10, -0.45), (-0.10, -0.83), (-0.10, -0.88), (0.09, -0.04), (0.10, -0.45),
    (0.10, -0.83), (0.10, -0.88), (0.0, 0.50), (-0.24, -0.17), (-0.21, -0.08), (0.24, -0.17), (0.21, -0.08),
)  # fmt: skip
"""x to the person's right and y up, in metres about the spine base, of a person 1.7 m tall who stands still."""
FORWARD = {15: -0.12, 19: -0.12, 22: -0.03, 24: -0.03}
"""Joints in front of the body, towards the sensor: feet and thumbs."""
REST = np.array([(x, y, FORWARD.get(joint, 0.0)) for joint, (x, y) in enumerate(HALF_BODY)])
"""(25, 3) of the standing body."""
CHAINS = (
    (8, (9, 10, 11, 23, 24)), (4, (5, 6, 7, 21, 22)), (16, (17, 18, 19)), (12, (13, 14, 15)),
    (0, (1, 20, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 21, 22, 23, 24)),
)  # fmt: skip
"""(pivot, joints that turn about it): right arm, left arm, right leg, left leg, trunk."""
CAMERA_YAW = {1: 0.0, 2: -45.0, 3: 45.0}
DISTANCE = 3.0
JITTER = 0.004
FIRST_ID = 72_057_594_037_927_936


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
    return group[1] in ntu.TRAIN_SUBJECTS, group[0] % 2 == 0


@cache
def groups_of(half: Half) -> tuple[Group, ...]:
    """The (setup, subject) groups of a half in order; whose subject, then whose setup has the fewest is filled in."""
    names = [name for name in map(ntu.parse_id, ntu.missing_ids()) if name is not None and name.action in half.actions]
    chosen = {(name.setup, name.subject) for name in names}
    for kind, count in half.groups.items():
        while sum(cell(group) == kind for group in chosen) < count:
            setups, subjects = Counter(setup for setup, _ in chosen), Counter(subject for _, subject in chosen)
            free = {group for group in product(half.setups, half.subjects) if cell(group) == kind} - chosen
            chosen.add(min(free, key=lambda group: (subjects[group[1]], setups[group[0]], group)))
    return tuple(sorted(chosen))


def names_of(groups: Iterable[Group], actions: Sequence[int]) -> Iterator[ntu.NtuName]:
    """Every clip of some groups, sorted as files are."""
    for setup, subject in groups:
        for camera, repeat, action in product(CAMERAS, REPEATS, actions):
            yield ntu.NtuName.of(setup, camera, subject, repeat, action)


def part(classes: int, *, groups: int, actions: int) -> list[ntu.NtuName]:
    """A small set that is whole in itself: some groups of each half with some actions, all cameras and repetitions.

    groups, actions: of each half; 0 takes all. Groups come from all four kinds in turn, so that every protocol has
    something to train on and to test; actions are spread evenly and end with one of two people.
    """
    names: list[ntu.NtuName] = []
    for half in HALVES[: ntu.CLASSES.index(classes) + 1]:
        known = groups_of(half)
        kinds = [[group for group in known if cell(group) == kind] for kind in KINDS]
        in_turn = [kind[turn] for turn in range(len(known)) for kind in kinds if turn < len(kind)]
        count = min(actions or len(half.actions), len(half.actions))
        spread = [half.actions[(place + 1) * len(half.actions) // count - 1] for place in range(count)]
        names += names_of(sorted(in_turn[: groups or None]), spread)
    return names


def count_splits(names: Iterable[ntu.NtuName], *, without: frozenset[str] = frozenset()) -> dict[str, dict[str, int]]:
    """Protocol -> split -> clips, leaving out the ids in `without`."""
    kept = [name for name in names if name.clip_id not in without]
    return {kind: dict(sorted(Counter(name.split(kind) for name in kept).items())) for kind in ntu.SPLIT_TYPES}


@dataclass(frozen=True)
class NtuSynthOptions:
    """frames: mean length of a clip, lengths vary by a quarter. odd: share of clips with each tracking fault.

    The faults are those of a Kinect: a piece of furniture tracked as a wide, still body, and a person who goes on under
    another tracking id, both ids in the frame between. Clips of the missing list show nobody, as the originals.
    """

    frames: int = 24
    odd: float = 0.1
    seed: int = 0


def skeleton_file(name: ntu.NtuName, options: NtuSynthOptions) -> str:
    """The text of one clip in the official format; equal names and options give equal text."""
    performance = np.random.default_rng([options.seed, name.setup, name.subject, name.repeat, name.action])
    camera = np.random.default_rng([options.seed, name.setup, name.subject, name.repeat, name.action, name.camera])
    frames = int(performance.integers(options.frames * 3 // 4, options.frames * 5 // 4 + 1))
    if name.clip_id in ntu.missing_ids():
        return as_text(frames, {})
    people = _people(name, frames, performance, options.seed)
    yaw = rotation(np.deg2rad(CAMERA_YAW[name.camera]), PLANES[1])
    seen = [person @ yaw.T + [0, 0, DISTANCE] + camera.normal(0, JITTER, person.shape) for person in people]
    return as_text(frames, _tracked(seen, camera, options.odd))


def as_text(frames: int, bodies: dict[int, Points]) -> str:
    """The official text of tracked bodies, id -> (T, 25, 3) with NaN in frames that do not show the body."""
    lines = [str(frames)]
    for frame in range(frames):
        here = {name: body[frame] for name, body in bodies.items() if not np.isnan(body[frame]).all()}
        lines.append(str(len(here)))
        for name, joints in here.items():
            lines += [f"{name} 0 1 1 1 1 0 0.02 -0.1 2", str(len(joints))]
            lines += [f"{x:.6g} {y:.6g} {z:.6g} 250 200 960 540 0 0 0 0 2" for x, y, z in joints.tolist()]
    return "\n".join(lines) + "\n"


def _people(name: ntu.NtuName, frames: int, random: Random, seed: int) -> list[Points]:
    """Whoever performs, each (T, 25, 3) about the first one's place; the other of two answers more quietly."""
    build = np.random.default_rng([seed, name.subject])
    turn = rotation(np.deg2rad(random.uniform(-20, 20)), PLANES[1]).T
    people = [_perform(name.action, frames, random, strength=1.0) * build.uniform(0.9, 1.1) @ turn]
    if name.action in ntu.MUTUAL_ACTIONS:
        other = _perform(name.action, frames, random, strength=0.5)
        people.append(other * [-1, 1, -1] @ turn + [0.9, 0, 0])
    return people


def _perform(action: int, frames: int, random: Random, *, strength: float) -> Points:
    """(T, 25, 3): one limb swings, the others hang each time a little differently.

    Limb, axis, number of swings, direction and timing tell the 120 actions apart.
    """
    code, late = (action - 1) % 60, action > 60
    time = 2 * np.pi * ((1 + code // 10 % 3) * np.linspace(0, 1, frames) + random.uniform(-0.05, 0.05))
    swing = 1 - np.cos(time) if late else np.sin(time)
    angle = 0.5 * strength * random.uniform(0.8, 1.2) * (1, -1)[code // 30] * swing
    body = np.tile(REST, (frames, 1, 1))
    for limb, (pivot, joints) in enumerate(CHAINS):
        moved = angle if limb == code % 5 else np.zeros(frames)
        _bend(body, pivot, list(joints), (0, 2)[code // 5 % 2], moved + random.normal(0, 0.12))
        _bend(body, pivot, list(joints), (2, 0)[code // 5 % 2], np.full(frames, random.normal(0, 0.12)))
    return body


def _bend(body: Points, pivot: int, joints: list[int], axis: int, angle: Points) -> None:
    """Turn joints about their pivot, in place."""
    arms = body[:, joints] - body[:, [pivot]]
    body[:, joints] = np.einsum("tij,tvj->tvi", rotation(angle, PLANES[axis]), arms) + body[:, [pivot]]


def _tracked(people: list[Points], random: Random, odd: float) -> dict[int, Points]:
    """Tracking id -> body, with the faults of a tracker."""
    bodies = dict(enumerate(people, FIRST_ID))
    frames = len(people[0])
    if random.random() < odd:
        table = REST * [3.0, 0.3, 1.0] + [-1.5, -0.4, DISTANCE + 1]
        bodies[FIRST_ID + 10] = np.tile(table, (frames, 1, 1))
    if random.random() < odd and frames // 2 > ntu.SHORTEST:
        early, late = people[0].copy(), people[0].copy()
        early[frames // 2 + 1 :], late[: frames // 2] = np.nan, np.nan
        bodies |= {FIRST_ID: early, FIRST_ID + 20: late}
    return bodies
