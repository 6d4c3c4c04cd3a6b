"""Synthetic signs as clips: every gloss by every signer, each clip from its own seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from last_edge.data.synth.body import body_points
from last_edge.data.synth.camera import project, to_world, track, view
from last_edge.data.synth.gloss import Gloss, lexicon
from last_edge.data.synth.motion import perform, timing
from last_edge.data.synth.signer import Signer, signer
from last_edge.errors import UsageError
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import get_layout


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
        faults = _faults(self)
        if faults:
            raise UsageError("synthetic data: " + "; ".join(faults), hint="last-edge data synth --help")

    @property
    def clips(self) -> int:
        """How many clips the set has."""
        return self.glosses * self.signers * self.clips_per_gloss_per_signer


def _faults(options: SynthOptions) -> list[str]:
    counts = {name: getattr(options, name) for name in ("glosses", "signers", "clips_per_gloss_per_signer")}
    faults = [f"{name} must be at least 1, got {count}" for name, count in counts.items() if count < 1]
    if not 0 <= options.test_signers <= options.signers:
        faults.append(f"test_signers must lie in 0..{options.signers}, got {options.test_signers}")
    if options.seed < 0:
        faults.append(f"seed must not be negative, got {options.seed}")
    if not 10 <= options.fps <= 240:
        faults.append(f"fps must lie in 10..240, got {options.fps}")
    if not 0 <= options.noise <= 0.1:
        faults.append(f"noise must lie in 0..0.1 image heights, got {options.noise}")
    if not 0 <= options.drop_rate <= 0.5:
        faults.append(f"drop_rate must lie in 0..0.5, got {options.drop_rate}")
    return faults


LAYOUT = "mediapipe_holistic75"
STREAM = 2


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
    for number in range(options.signers):
        split = "test" if number >= options.signers - options.test_signers else "train"
        who = signer(number, options.seed)
        for gloss in glosses:
            for take in range(options.clips_per_gloss_per_signer):
                yield _clip(gloss, who, options, number=number, take=take, split=split)


def _clip(gloss: Gloss, who: Signer, options: SynthOptions, *, number: int, take: int, split: str) -> SkeletonClip:
    """One take. Its generator depends on seed, signer, gloss and take alone, not on the other clips of the set."""
    rng = np.random.default_rng([options.seed, STREAM, number, zlib.crc32(gloss.name.encode()), take])
    layout = get_layout(LAYOUT)
    when = timing(rng, speed=who.speed * rng.uniform(0.9, 1.1), fps=options.fps)
    hands = perform(gloss, who, when, rng=rng)
    metres = to_world(body_points(*hands, who, rng=rng), layout, left_handed=who.left_handed)
    points, confidence = track(
        project(metres, view(who, rng)), noise=options.noise, drop_rate=options.drop_rate, rng=rng
    )
    return SkeletonClip.from_points(
        points[None],
        confidence=confidence[None],
        layout=layout,
        fps=options.fps,
        units="image01",
        label=gloss.name,
        subject=who.name,
        source_id=f"synth-{options.seed}/{who.name}/{gloss.name}/{take:02d}",
        split=split,
    )
