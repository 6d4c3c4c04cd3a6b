"""Learn typical moves of hands from recordings, for the background set.

`python -m last_edge.tools.experiments.learn_moves CLIPS.npz OUT.npz PERSON…` writes what
`last_edge/data/synth/signing.npz` is. CLIPS.npz as for `silent_hands`, with `subjects`: of each clip of the named
persons every hand that is seen for eight frames and more, a left one mirrored.

Example: python -m last_edge.tools.experiments.learn_moves signs_shared.npz last_edge/data/synth/signing.npz s064 s164
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from last_edge.data.synth.moves import learn_moves
from last_edge.errors import InputError
from last_edge.files import writing
from last_edge.inputs.spec import Points
from last_edge.tools.experiments.silent_hands import ASPECT

LEAST_SEEN = 8


def main(clips: str, out: str, people: Sequence[str]) -> None:
    """Learn and write, and print of how many hands."""
    hands = hands_of(Path(clips), people)
    moves = learn_moves(hands)
    with writing(Path(out)) as stream:
        stream.write(moves.to_bytes())
    sys.stdout.write(f"{len(hands)} hands, {len(moves.counts)} groups: {out}, {Path(out).stat().st_size} bytes\n")


def hands_of(path: Path, people: Sequence[str]) -> list[Points]:
    """Clips (T, 21, 3) of right hands in image heights."""
    with np.load(path, allow_pickle=False) as arrays:
        subjects, lengths = arrays["subjects"].astype(str), arrays["lengths"]
        sides = {-1.0: arrays["left_hand"], 1.0: arrays["right_hand"]}
    if unknown := sorted(set(people) - set(subjects)):
        known = ", ".join(np.unique(subjects))
        raise InputError("nobody of this name", where=path, got=", ".join(unknown), expected=known)
    starts, found = np.cumsum(lengths) - lengths, []
    for clip in np.flatnonzero(np.isin(subjects, people)):
        for way, points in sides.items():
            hand = np.asarray(points[starts[clip] :][: lengths[clip]] * [way * ASPECT, 1.0, ASPECT], np.float32)
            if (~np.isnan(hand[:, 0, 0])).sum() >= LEAST_SEEN:
                found.append(hand)
    return found


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
