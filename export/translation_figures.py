"""Figures of a translator's exported files on sentences of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, padded, sentence_points, translated_clips
from last_edge.runtime.translate import DeployedTranslator, load_translator
from last_edge.text import normalised
from last_edge.train.translate.metrics import translation_metrics

BATCH = 16
KEPT = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "repetition", "n")


def evaluate_bundle(
    path: Path, store: ClipStore, *, split: str, precision: str | None = None, beam: int | None = None,
    threads: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """All figures of a bundle's files on a split."""
    translator = load_translator(path, precision=precision or "fp32", threads=threads or 1)
    return _figures(translator, store, split=split, beam=beam)


def bundle_figures(translator: DeployedTranslator, store: ClipStore, *, split: str) -> dict[str, Figure]:
    """The figures that a manifest keeps."""
    figures = _figures(translator, store, split=split, beam=None)
    return {"split": split, "store_sha256": store.sha256, **{name: figures[name] for name in KEPT}}


def _figures(translator: DeployedTranslator, store: ClipStore, *, split: str, beam: int | None) -> dict[str, Any]:
    check_points(store, translator.spec)
    clips = translated_clips(store, split)
    ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
    said: dict[int, str] = {}
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        points = padded([sentence_points(store, int(clip), translator.spec.frames) for clip in batch])
        said |= dict(zip(batch.tolist(), translator.sentences(points, beam=beam), strict=True))
    wanted = [normalised(str(text)) for text in store.index.text[clips]]
    return translation_metrics([said[int(clip)] for clip in clips], wanted, vocabulary=len(translator.vocabulary))
