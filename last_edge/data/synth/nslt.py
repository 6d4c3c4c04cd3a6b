"""Made clips with the classes, splits and clip counts of an official NSLT subset, and made features beside them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.features import write_features
from last_edge.clips.store import ClipStore
from last_edge.data.prepare import Prepared, store_clips
from last_edge.data.readers.nslt import NsltClip, nslt_labels, read_nslt
from last_edge.skeleton import SkeletonClip, get_layout

LAYOUT = "mediapipe_hand21"
NAME = "visual"
SHOWN_AT = 0.3  # of the image, the size of the made hand
Random = np.random.Generator


@dataclass(frozen=True)
class NsltSynthOptions:
    """frames: of a clip. width: numbers a row of features; rows: of features a clip.

    noise: how far a clip's features lie from those of its class, in standard deviations of the classes themselves; at 0
    every class is told apart, at 3 few are. test_clips: of each class, in place of the official ones, 0 for those.
    """

    frames: int = 8
    width: int = 64
    rows: int = 4
    noise: float = 1.5
    test_clips: int = 0
    seed: int = 0


def synth_nslt(
    index: Path, *, out: Path, options: NsltSynthOptions, dry_run: bool = False, force: bool = False,
    progress: Callable[[int], None] = lambda clips: None,
) -> Prepared:  # fmt: skip
    """Write a store with one made clip for each row of `nslt_*.json`, and its features `visual`.

    What is official: which classes there are, how many clips each has, and which split each clip is in. Everything seen
    in a clip is drawn: a class has a hand that moves its own way and a direction of its own among the features. Raises
    `InputError`, `UsageError`.
    """
    rows, labels = _rows(read_nslt(index), options), nslt_labels(index)
    about = {
        "dataset": "nslt-synth", "source": index.name, "licence": "generated, free of rights",
        "options": asdict(options),
    }  # fmt: skip
    prepared = store_clips(
        _clips(rows, labels, options), name="nslt-synth", out=out, labels=labels, about=about, dry_run=dry_run,
        force=force, progress=progress,
    )  # fmt: skip
    if not dry_run:
        write_features(ClipStore.open(out), NAME, _features(rows, options), about=about)
    return prepared


def _rows(official: dict[str, NsltClip], options: NsltSynthOptions) -> list[tuple[str, NsltClip]]:
    """Id and row of each clip, the official test clips replaced where other ones are asked for."""
    if not options.test_clips:
        return list(official.items())
    kept = [(name, row) for name, row in official.items() if row.split != "test"]
    classes = sorted({row.label for row in official.values()})
    return kept + [
        (f"test_{label}_{number}", NsltClip(label, "test", 1, options.frames))
        for label in classes
        for number in range(options.test_clips)
    ]


def _clips(
    rows: list[tuple[str, NsltClip]], labels: tuple[str, ...], options: NsltSynthOptions
) -> Iterator[SkeletonClip]:
    layout = get_layout(LAYOUT)
    for number, (name, row) in enumerate(rows):
        points = _hand(row.label, np.random.default_rng([options.seed, 1, number]), options)
        yield SkeletonClip.from_points(
            points[None], layout=layout, fps=25.0, units="image01", label=labels[row.label], subject=name,
            split=row.split, source_id=name,
        )  # fmt: skip


def _hand(label: int, own: Random, options: NsltSynthOptions) -> NDArray[np.float32]:
    """(T, 21, 3): the class's hand on the class's way through the picture, not quite the same in every clip."""
    drawn = np.random.default_rng([options.seed, 0, label])
    shape, way = drawn.normal(size=(21, 3)), drawn.normal(size=(2, 3))
    time = np.linspace(0, 1, options.frames)[:, None, None]
    path = way[0] * time + way[1] * np.sin(np.pi * time)
    made = 0.5 + SHOWN_AT * (0.3 * shape + path + options.noise * own.normal(size=(1, 21, 3)))
    return np.asarray(made + 0.01 * own.normal(size=made.shape), np.float32)


def _features(rows: list[tuple[str, NsltClip]], options: NsltSynthOptions) -> Iterator[NDArray[np.float32]]:
    """(rows, width) of each clip: its class's direction, the clip's own distance from it, and a little of each row."""
    for number, (_, row) in enumerate(rows):
        drawn = np.random.default_rng([options.seed, 2, row.label]).normal(size=options.width)
        own = np.random.default_rng([options.seed, 3, number])
        clip = drawn + options.noise * own.normal(size=options.width)
        yield (clip + 0.3 * own.normal(size=(options.rows, options.width))).astype(np.float32)
