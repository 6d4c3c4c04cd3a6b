"""Synthetic signs as clips: every gloss by every signer, each clip from its own seed."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.gloss import Gloss, lexicon
from last_edge.data.synth.hand import about_axis
from last_edge.data.synth.signer import LEFT_HAND, RIGHT_HAND, Signer, body_points, drift, perform, signer, timing
from last_edge.errors import UsageError
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.skeleton.layout import Layout

Array = NDArray[np.float64]
HIPS = (23, 24)
AXES = np.eye(3)
DEPTH_NOISE = 2.5
BODY_NOISE = 0.8
JUMP_CHANCE = 0.012
JUMP_SIZE = 10.0
GAP_FRAMES = 4.0
POINT_DROP_SHARE = 0.05
MOST_LOST = 0.4
EDGE = 1.02
LEGS = slice(23, 33)
# Points a body tracker may lose one by one; the shoulders hold the origin and the scale.
LOSABLE = np.array([*range(11), 13, 14, *range(17, 23)])


@dataclass(frozen=True)
class View:
    """yaw, pitch, roll in radians; closeness in image heights a metre; distance in metres; centre in image heights."""

    yaw: float
    pitch: float
    roll: float
    closeness: float
    distance: float
    centre: tuple[float, float]


def view(signer: Signer, rng: np.random.Generator) -> View:
    """This clip's view: the signer's usual camera, a little moved."""
    return View(
        yaw=signer.yaw + rng.normal(0.0, 0.08), pitch=signer.pitch + rng.normal(0.0, 0.04), roll=rng.normal(0.0, 0.05),
        closeness=signer.closeness * rng.uniform(0.9, 1.1), distance=signer.distance,
        centre=(signer.aspect / 2 + rng.normal(0.0, 0.06), 0.48 + rng.normal(0.0, 0.03)),
    )  # fmt: skip


def to_world(points: Array, layout: Layout, *, left_handed: bool) -> Array:
    """Signing-side axes -> (signer's left, up, towards the viewer); a left-handed signer's sides are exchanged."""
    if left_handed:
        return np.asarray(points[:, list(layout.mirror)])
    return np.asarray(points * np.array([-1.0, 1.0, 1.0]))


def project(points: Array, seen_from: View) -> Array:
    """World metres (T, 75, 3) -> image points (T, 75, 3) in image heights: x right, y down, z away from the viewer.

    As in MediaPipe the body's depth counts from between the hips and each hand's from its own wrist.
    """
    turns = (seen_from.pitch, seen_from.yaw, seen_from.roll)
    about_x, about_y, about_z = (about_axis(AXES[axis], np.array([angle]))[0] for axis, angle in enumerate(turns))
    turned = points @ np.asarray(about_z @ about_x @ about_y).T
    depth = seen_from.distance - turned[..., 2]
    focal = seen_from.closeness * seen_from.distance
    across, down = focal * turned[..., 0] / depth, -focal * turned[..., 1] / depth
    away = seen_from.closeness * depth
    away[:, :33] -= away[:, list(HIPS)].mean(axis=1, keepdims=True)
    for hand in (LEFT_HAND, RIGHT_HAND):
        away[:, hand] -= away[:, hand.start, None].copy()
    return np.stack([across + seen_from.centre[0], down + seen_from.centre[1], away], axis=-1)


def track(points: Array, *, noise: float, drop_rate: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Image points (T, 75, 3) -> what a tracker reports (T, 75, 3), NaN where lost, and its confidence (T, 75)."""
    seen = _noisy(points, noise, rng)
    confidence = _confidence(len(points), rng)
    for hand in (LEFT_HAND, RIGHT_HAND):
        outside = points[:, hand, 1].mean(axis=1) > EDGE
        confidence[outside | _gaps(len(points), drop_rate, rng), hand] = 0.0
    lost = rng.random((len(points), len(LOSABLE))) < drop_rate * POINT_DROP_SHARE
    confidence[:, LOSABLE] *= ~lost
    seen[confidence == 0] = np.nan
    return seen, confidence


def _noisy(points: Array, noise: float, rng: np.random.Generator) -> Array:
    """White noise on every point, slow noise and single-frame jumps on whole hands."""
    frames, joints, _ = points.shape
    size = np.full((joints, 1), noise)
    size[:33] *= BODY_NOISE
    size[LEGS] *= 4.0
    seen = points + rng.normal(0.0, 1.0, points.shape) * size * (1.0, 1.0, DEPTH_NOISE)
    for hand in (LEFT_HAND, RIGHT_HAND):
        jump = (rng.random((frames, 1)) < JUMP_CHANCE) * rng.normal(0.0, JUMP_SIZE, (frames, 3))
        seen[:, hand] += noise * (jump + drift(rng, frames, 3))[:, None]
    return np.asarray(seen)


def _confidence(frames: int, rng: np.random.Generator) -> Array:
    confidence = np.empty((frames, 75))
    confidence[:, :33] = rng.uniform(0.9, 1.0, (frames, 33))
    confidence[:, LEGS] = rng.uniform(0.02, 0.3, (frames, 10))
    for hand in (LEFT_HAND, RIGHT_HAND):
        confidence[:, hand] = rng.uniform(0.6, 1.0, (frames, 1))
    return confidence


def _gaps(frames: int, rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(T,) true where the hand is lost: gaps of a few frames, never more than 40% of the clip."""
    lost = np.zeros(frames, np.bool_)
    for start in np.flatnonzero(rng.random(frames) < rate / GAP_FRAMES):
        length = int(rng.geometric(1 / GAP_FRAMES))
        if lost.sum() + length <= MOST_LOST * frames:
            lost[start : start + length] = True
    return lost


LAYOUT = "mediapipe_holistic75"
STREAM = 2


@dataclass(frozen=True)
class SynthOptions:
    """Options of `synthesise`; equal options give equal clips, bit by bit.

    glosses: classes, the first so many of the lexicon. signers: subjects, numbered from 0.
    clips_per_gloss_per_signer: repetitions. test_signers: the last so many signers are the test split.
    seed: of signers and clips; the lexicon itself never changes.
    fps: frames a second. noise: standard deviation of a tracked hand point, in image heights.
    drop_rate: chance that a hand is lost in a frame while it signs; 0 also keeps every other point.
    unknown: take the glosses from the reserved part of the lexicon, which no known set of any size touches.
    """

    glosses: int = 20
    signers: int = 16
    clips_per_gloss_per_signer: int = 4
    test_signers: int = 4
    seed: int = 0
    fps: float = 30.0
    noise: float = 0.004
    drop_rate: float = 0.08
    unknown: bool = False

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("glosses", "signers", "clips_per_gloss_per_signer")}
        faults = [f"{name} must be at least 1, got {count}" for name, count in counts.items() if count < 1]
        if not 0 <= self.test_signers <= self.signers:
            faults.append(f"test_signers must lie in 0..{self.signers}, got {self.test_signers}")
        if self.seed < 0:
            faults.append(f"seed must not be negative, got {self.seed}")
        if not 10 <= self.fps <= 240:
            faults.append(f"fps must lie in 10..240, got {self.fps}")
        if not 0 <= self.noise <= 0.1:
            faults.append(f"noise must lie in 0..0.1 image heights, got {self.noise}")
        if not 0 <= self.drop_rate <= 0.5:
            faults.append(f"drop_rate must lie in 0..0.5, got {self.drop_rate}")
        if faults:
            raise UsageError("synthetic data: " + "; ".join(faults), hint="last-edge data synth --help")

    @property
    def clips(self) -> int:
        """How many clips the set has."""
        return self.glosses * self.signers * self.clips_per_gloss_per_signer


def gloss_names(options: SynthOptions) -> tuple[str, ...]:
    """Labels of the set, in the lexicon's order."""
    return tuple(gloss.name for gloss in lexicon(options.glosses, unknown=options.unknown))


def synthesise(options: SynthOptions) -> Iterator[SkeletonClip]:
    """Clips (1, T, 75, 3) in `image01`, signer by signer; the last `test_signers` signers are the test split.

    Raises `UsageError` when the lexicon has fewer glosses than asked for.
    """
    glosses = lexicon(options.glosses, unknown=options.unknown)
    return _clips(glosses, options)


def _clips(glosses: tuple[Gloss, ...], options: SynthOptions) -> Iterator[SkeletonClip]:
    """Every take has a generator of its own, by seed, signer, gloss and take alone."""
    layout = get_layout(LAYOUT)
    for number in range(options.signers):
        split = "test" if number >= options.signers - options.test_signers else "train"
        who = signer(number, options.seed)
        for gloss, take in product(glosses, range(options.clips_per_gloss_per_signer)):
            rng = np.random.default_rng([options.seed, STREAM, number, zlib.crc32(gloss.name.encode()), take])
            when = timing(rng, speed=who.speed * rng.uniform(0.9, 1.1), fps=options.fps)
            hands = perform(gloss, who, when, rng=rng)
            metres = to_world(body_points(*hands, who, rng=rng), layout, left_handed=who.left_handed)
            image = project(metres, view(who, rng))
            points, confidence = track(image, noise=options.noise, drop_rate=options.drop_rate, rng=rng)
            yield SkeletonClip.from_points(
                points[None], confidence=confidence[None], layout=layout, fps=options.fps, units="image01",
                label=gloss.name, subject=who.name,
                source_id=f"synth-{options.seed}/{who.name}/{gloss.name}/{take:02d}", split=split,
            )  # fmt: skip
