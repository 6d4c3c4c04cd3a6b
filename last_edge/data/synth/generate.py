"""Synthetic signs as clips: every gloss by every signer, each clip from its own seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from last_edge.data.synth.body import body_points
from last_edge.data.synth.camera import project, to_world, view
from last_edge.data.synth.gloss import Gloss, lexicon
from last_edge.data.synth.motion import perform, timing
from last_edge.data.synth.options import SynthOptions
from last_edge.data.synth.signer import Signer, signer
from last_edge.data.synth.tracking import track
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import get_layout

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
    points, confidence = track(project(metres, view(who, rng)), options, rng=rng)
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
