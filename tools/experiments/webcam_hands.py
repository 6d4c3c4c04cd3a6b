"""What bundles of one hand find of gestures before a webcam, side by side, each recorder's gestures by themselves.

`python -m last_edge.tools.experiments.webcam_hands LABELS.json CLIPS.npz… -- BUNDLE…` prints a table. LABELS.json says
what each label is called here (`train/recipes/streams/hands.labels.json`). CLIPS.npz hold MediaPipe's `hand`, or
`left_hand` and `right_hand`, (F, 21, 3) in fractions of a 4:3 image, NaN where unseen, one clip after another, with
`lengths` and `labels`, at 30 frames a second; of two hands the one that is seen more counts. Each clip is a stream of
its own: the first frame that shows a hand rests for half a second, the clip, the last one rests, then nobody is there.
Of a gesture sixty clips at most, drawn at random, are played. BUNDLE@0.7 asks for that probability of an event.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.runtime.recognise.decoding import DecodingOptions
from last_edge.runtime.recognise.stream import Decode, RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import get_layout
from last_edge.tools.output import markdown

FPS, ASPECT = 30.0, 4 / 3
RESTS_S, GONE_S = 0.5, 1.0
ALIKE = {
    "swipe_left": "swipe_left", "swipe_right": "swipe_right", "swipe_up": "swipe_up", "swipe_down": "swipe_down",
    "left": "swipe_left", "right": "swipe_right", "up": "swipe_up", "down": "swipe_down",
    "rotate_cw": "rotate_clockwise", "rotate_ccw": "rotate_counterclockwise", "zoom_in": "expand", "zoom_out": "pinch",
    "click": "tap", "ok": "ok",
}  # fmt: skip
"""What recorders call the gestures of the bundles."""
TAKEN_FOR, MOST = 3, 60


@dataclass(frozen=True)
class Take:
    """A recorder's clip: frames (T, 21, 3) in image heights, and the hand that it shows, "first" where nobody says."""

    label: str
    points: NDArray[np.float32]
    side: str


def main(arguments: Sequence[str]) -> None:
    """Play every clip to every bundle and print what became of each gesture."""
    cut = list(arguments).index("--")
    labels, files, bundles = Path(arguments[0]), arguments[1:cut], arguments[cut + 1 :]
    called = records.read_json(labels)
    ways: list[tuple[str, Recogniser, RecogniseOptions]] = []
    for bundle in bundles:
        name, _, threshold = bundle.partition("@")
        model, least = Recogniser.open(name), DecodingOptions(threshold=float(threshold) if threshold else None)
        title = model.name + (f" at {threshold}" if threshold else "")
        decodes: tuple[Decode, ...] = ("sliding",) if model.rate is not None else ("sliding", "spans")
        for how in decodes:
            way = f"{title}, {how}" if model.rate is None else title
            ways.append((way, model, RecogniseOptions(decode=how, decoding=least)))
    rows: dict[str, list[object]] = {name: [] for name in ("file", "gesture", "clips")}
    rows |= {name: [] for name, _, _ in ways}
    for file in files:
        takes = list(takes_of(Path(file)))
        for label in sorted({take.label for take in takes}):
            shown = [take for take in takes if take.label == label]
            drawn = np.random.default_rng(0).permutation(len(shown))[:MOST]
            own = [shown[place] for place in sorted(drawn.tolist())]
            rows["file"].append(Path(file).stem)
            rows["gesture"].append(label)
            rows["clips"].append(len(own))
            for name, model, options in ways:
                events = [events_of(model, take, options) for take in own]
                rows[name].append(told(events, ALIKE.get(label, ""), called))
    sys.stdout.write(markdown(rows) + "\n")


def takes_of(path: Path) -> Iterator[Take]:
    """The clips of a file."""
    with np.load(path, allow_pickle=False) as arrays:
        labels, lengths = arrays["labels"].astype(str).tolist(), arrays["lengths"]
        hands = {name: arrays[name] for name in ("hand", "left_hand", "right_hand") if name in arrays}
    starts = np.cumsum(lengths) - lengths
    for label, start, length in zip(labels, starts.tolist(), lengths.tolist(), strict=True):
        rows = slice(start, start + length)
        side = max(hands, key=lambda name: int(np.isfinite(hands[name][rows, 0, 0]).sum()))
        points = np.asarray(hands[side][rows] * [ASPECT, 1.0, ASPECT], np.float32)
        yield Take(label, points, {"hand": "first"}.get(side, side.removesuffix("_hand")))


def events_of(model: Recogniser, take: Take, options: RecogniseOptions) -> list[str]:
    """Labels of the events of one clip."""
    seen = np.flatnonzero(np.isfinite(take.points[:, 0, 0]))
    if not len(seen):
        return []
    rest = round(RESTS_S * FPS)
    gone = np.full((round(GONE_S * FPS), *take.points.shape[1:]), np.nan, np.float32)
    before, after = (np.repeat(take.points[place][None], rest, axis=0) for place in (seen[0], seen[-1]))
    frames = np.concatenate([before, take.points, after, gone])
    with model.stream(
        layout=get_layout("mediapipe_hand21"), units="image01", hand=take.side, options=options
    ) as stream:  # fmt: skip
        events = [event for number, frame in enumerate(frames) for event in stream.push(frame[None], number / FPS)]
        events += stream.finish()
    return [event.label for event in events]


def told(events: Sequence[Sequence[str]], wanted: str, called: Mapping[str, str]) -> str:
    """How many clips had the wanted event, and how many any other; what the others were."""
    named = [[called.get(label, label) for label in own] for own in events]
    found = sum(wanted in own for own in named)
    others = Counter(label for own in named for label in sorted(set(own)) if label != wanted)
    wrong = sum(any(label != wanted for label in own) for own in named)
    most = ", ".join(f"{label} {count}" for label, count in others.most_common(TAKEN_FOR))
    return (f"{found} found, " if wanted else "") + f"{wrong} wrong" + (f" ({most})" if most else "")


if __name__ == "__main__":
    main(sys.argv[1:])
