"""Figures of a translator's exported files on sentences of a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, padded, sentence_points, translated_clips
from last_edge.runtime.translator import Translator
from last_edge.tasks.sentence_metrics import translation_metrics
from last_edge.text import normalised

BATCH = 16
KEPT = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "repetition", "n")


def evaluate_bundle(
    path: Path, store: ClipStore, *, split: str, precision: str | None = None, beam: int | None = None,
    threads: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """All figures of a bundle's files on a split."""
    translator = Translator.open(path, precision=precision or "fp32", threads=1 if threads is None else threads)
    check_points(store, translator.spec)
    clips = translated_clips(store, split)
    said = sentences_of(translator, store, clips, beam=beam)
    return figures_of(said, texts_of(store, clips), sub_words=len(translator.vocabulary))


def bundle_figures(translator: Translator, store: ClipStore, *, split: str) -> dict[str, Figure]:
    """The figures that a manifest keeps."""
    check_points(store, translator.spec)
    clips = translated_clips(store, split)
    said = sentences_of(translator, store, clips)
    figures = figures_of(said, texts_of(store, clips), sub_words=len(translator.vocabulary))
    return kept_figures(figures, store, split=split)


def sentences_of(
    translator: Translator, store: ClipStore, clips: NDArray[np.int64], *, beam: int | None = None
) -> list[str]:
    """What some clips say, in the order given."""
    ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
    said: dict[int, str] = {}
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        points = padded([sentence_points(store, int(clip), translator.spec.frames) for clip in batch])
        said |= dict(zip(batch.tolist(), translator.sentences(points, beam=beam), strict=True))
    return [said[int(clip)] for clip in clips]


def texts_of(store: ClipStore, clips: NDArray[np.int64]) -> list[str]:
    """What some clips ought to say."""
    return [normalised(str(text)) for text in store.index.text[clips]]


def figures_of(said: Sequence[str], wanted: Sequence[str], *, sub_words: int) -> dict[str, Any]:
    """All figures of sentences."""
    return translation_metrics(said, wanted, vocabulary=sub_words)


def kept_figures(figures: dict[str, Any], store: ClipStore, *, split: str) -> dict[str, Figure]:
    """Those of all figures that a manifest keeps."""
    return {"split": split, "store_sha256": store.sha256, **{name: figures[name] for name in KEPT}}


def equal_share(one: Sequence[str], other: Sequence[str]) -> float:
    """Percent of sentences that are the same."""
    return round(100.0 * float(np.mean([a == b for a, b in zip(one, other, strict=True)])), 2)
