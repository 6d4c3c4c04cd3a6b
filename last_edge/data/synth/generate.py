"""Synthetic signs as clips: every gloss by every signer, each clip from its own seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from last_edge.data.synth.body import body_points
from last_edge.data.synth.camera import project, to_world, track, view
from last_edge.data.synth.gloss import Gloss, lexicon
from last_edge.data.synth.signer import perform, signer, timing
from last_edge.errors import UsageError
from last_edge.skeleton import SkeletonClip, get_layout

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
