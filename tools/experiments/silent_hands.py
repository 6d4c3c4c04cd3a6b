"""False events of bundles on webcam clips of hands that make none of their gestures.

`python -m last_edge.tools.experiments.silent_hands CLIPS.npz BUNDLE… [--without PERSON,…]` prints a table. CLIPS.npz
holds MediaPipe's `left_hand` and `right_hand` (F, 21, 3) in fractions of a 4:3 image, NaN where unseen, one clip after
another, with `lengths`, `labels` and `subjects`, at 30 frames a second. Clips of `background`, and so many drawn from
all others, are played one after another, two seconds without a hand between; of each clip the hand that is seen more, a
left one mirrored. --without: people whose clips are left out, as those of whom `teach` learnt how hands sign.

Example: python -m last_edge.tools.experiments.silent_hands signs_shared.npz runs/lamp --without s064,s089
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import get_layout
from last_edge.tools.output import markdown

FPS, ASPECT, GAP = 30.0, 4 / 3, 60
OTHERS = 300
FEW = 12.0
"""The other point of a bundle's curve: at most so many false events an hour."""


def main(clips: str, bundles: Sequence[str], without: Sequence[str]) -> None:
    """Play every clip to every bundle and print events a minute."""
    kinds = silent_clips(Path(clips), without)
    rows: dict[str, list[object]] = {name: [] for name in ("bundle", "decode", "an hour at most", *kinds)}
    for bundle in bundles:
        model = Recogniser.open(bundle)
        for options in (RecogniseOptions(decode=how, false_per_hour=rate) for how in ("sliding", "segments")
                        for rate in (None, FEW)):  # fmt: skip
            try:
                rates = [f"{events_a_minute(model, hands, options):.2f}" for hands in kinds.values()]
            except UsageError:  # a bundle without a curve
                continue
            shown = "" if options.false_per_hour is None else f"{options.false_per_hour:g}"
            for name, value in zip(rows, (bundle, options.decode, shown, *rates), strict=True):
                rows[name].append(value)
    sys.stdout.write(markdown(rows) + "\n")


def silent_clips(path: Path, without: Sequence[str] = ()) -> dict[str, list[NDArray[np.float32]]]:
    """Clips (T, 21, 3) in image heights by what they are: background, and others drawn at random; then those of some
    people left out."""
    with np.load(path, allow_pickle=False) as arrays:
        labels, lengths = arrays["labels"].astype(str), arrays["lengths"]
        left_out = np.isin(arrays["subjects"].astype(str), without)
        sides = {side: arrays[f"{side}_hand"] for side in ("left", "right")}
    starts = np.cumsum(lengths) - lengths
    others = np.random.default_rng(0).permutation(np.flatnonzero(labels != "background"))[:OTHERS]
    chosen = {"background": np.flatnonzero(labels == "background"), "other signs": others}

    def hand(clip: int) -> NDArray[np.float32]:
        rows = slice(starts[clip], starts[clip] + lengths[clip])
        side = max(sides, key=lambda name: int((~np.isnan(sides[name][rows, 0, 0])).sum()))
        mirrored = -1.0 if side == "left" else 1.0
        return np.asarray(sides[side][rows] * [ASPECT * mirrored, 1.0, ASPECT], np.float32)

    return {kind: [hand(clip) for clip in clips if not left_out[clip]] for kind, clips in chosen.items()}


def events_a_minute(model: Recogniser, hands: Sequence[NDArray[np.float32]], options: RecogniseOptions) -> float:
    """Events of a stream of clips with nothing to see between them."""
    layout = get_layout("mediapipe_hand21")
    gap = np.full((GAP, layout.joints, 3), np.nan, np.float32)
    frames = np.concatenate([part for hand in hands for part in (hand, gap)])
    with model.stream(layout=layout, units="image01", hand="right", options=options) as stream:
        events = sum(len(stream.push(frame, number / FPS)) for number, frame in enumerate(frames))
    return events / (len(frames) / FPS / 60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips")
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--without", default="")
    given = parser.parse_args()
    main(given.clips, given.bundles, given.without.split(","))
