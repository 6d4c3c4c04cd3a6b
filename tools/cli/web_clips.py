"""Signs made for the page, so that it has something to play where there is neither a camera nor a store."""

from __future__ import annotations

from itertools import islice

from last_edge.data.synth import SynthOptions, gloss_names, synthesise
from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.runtime.web.clips import Clip, from_skeleton
from last_edge.runtime.web.describe import find_source
from last_edge.skeleton import get_layout

LAYOUT = "mediapipe_holistic75"
SEED = 1_000_003
"""Of a signer that no set has which was made with a usual seed."""


def made_signs(spec: InputSpec, labels: tuple[str, ...], *, count: int) -> list[Clip]:
    """Up to `count` signs by one made signer; none where the bundle cannot take the points of body and hands.

    They are of the bundle's own classes where it was taught the synthetic signs, else of classes it does not know.
    """
    try:
        find_source(get_layout(LAYOUT), spec)
    except UsageError:
        return []
    options = SynthOptions(
        glosses=_known(labels) or count, signers=1, clips_per_gloss_per_signer=1, test_signers=0, seed=SEED
    )
    return [from_skeleton(clip, labels, signer="made") for clip in islice(synthesise(options), count)]


def _known(labels: tuple[str, ...]) -> int:
    """How many glosses the lexicon's set has that the labels are; 0 where they are others."""
    try:
        return len(labels) if set(gloss_names(SynthOptions(glosses=len(labels)))) == set(labels) else 0
    except UsageError:
        return 0
