"""Which sentences find a translator's INT8 ranges and which judge it, and what its graphs are fed of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded, sentence_points, translated_clips
from last_edge.errors import InputError
from last_edge.export.bundles.thresholds import held_out_subjects
from last_edge.export.int8.calibration import evenly_by_class
from last_edge.export.int8.ranges import Feed
from last_edge.runtime.translator import OnnxDecoder, RecordingSession, Translator
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import CALIBRATION_SPLIT, held_out
from last_edge.text import search
from last_edge.train.checkpoint import checkpoint_folder

Clips = NDArray[np.int64]
BATCH = 16


@dataclass(frozen=True)
class SentenceParts:
    """calibration: clips that find ranges. judging: of other people, who choose what is shipped."""

    calibration: Clips
    judging: Clips


def sentence_parts(store: ClipStore, *, count: int, seed: int, run: Path | None = None) -> SentenceParts:
    """Up to `count` training sentences, and those of the val split or, without one, of training people held out.

    run: its held-out people judge. `InputError` when nobody is left on one side.
    """
    train = translated_clips(store, CALIBRATION_SPLIT)
    own = store.select(split="val")
    own = own[store.index.text[own] != ""]
    if run is not None:
        held = held_out_subjects(checkpoint_folder(run))
    else:
        held = () if len(own) else held_out(store, train, Recipe(seed=seed))
    inside = np.isin(store.index.subject[train].astype(str), held)
    judging, learning = np.sort(np.concatenate([own, train[inside]])), train[~inside]
    if not len(judging) or not len(learning):
        expected = "sentences of two subjects in the train split, or a val split with text"
        raise InputError("an INT8 file needs people to judge it apart from those that calibrate", where=store.path,
                         expected=expected, got=f"{len(set(store.index.subject[train]))} subjects")  # fmt: skip
    return SentenceParts(evenly_by_class(store, learning, count=count, seed=seed), judging)


def encoder_feeds(store: ClipStore, clips: Clips, *, frames: int) -> Iterator[Feed]:
    """What an encoder is given of some clips, one at a time."""
    for clip in clips:
        yield {INPUT_NAME: sentence_points(store, int(clip), frames)[None]}


def decoder_feeds(translator: Translator, store: ClipStore, clips: Clips) -> Iterator[Feed]:
    """What a decoder is given, step by step, while some clips are translated."""
    ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        points = padded([sentence_points(store, int(clip), translator.spec.frames) for clip in batch])
        recorded = RecordingSession(translator.decoder)
        decoder = OnnxDecoder(recorded, translator.encode(points), translator.options.beam)
        search(decoder, len(points), translator.options)
        yield from recorded.feeds
