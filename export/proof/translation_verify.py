"""Proving a translator's bundle: hashes, golden logits, card and, with a store, every figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from last_edge.bundle.bundle import Bundle, faults
from last_edge.bundle.card import render_card
from last_edge.bundle.manifest import CARD, MANIFEST, encoder_precisions, to_bytes
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import translated_clips
from last_edge.export.proof.check import Check
from last_edge.export.proof.translation_figures import equal_share, figures_of, kept_figures, sentences_of, texts_of
from last_edge.runtime.translator import Translator

LISTED = 3


def verify_translation(path: Path, store: ClipStore | None = None, *, threads: int = 1) -> list[Check]:
    """Every check, failed ones too; figures are measured only of files that are what the manifest says."""
    bundle = Bundle.open(path, verify_hashes=False)
    checks = [_hashes(bundle)]
    if not checks[0].holds:
        return checks
    checks += [*_golden(bundle, threads), _card(bundle)]
    return checks if store is None else [*checks, *_figures(bundle, store, threads)]


def _hashes(bundle: Bundle) -> Check:
    wrong = [f"{name}: {fault}" for name, fault in faults(bundle.manifest, bundle.contents)]
    if to_bytes(bundle.manifest) != bundle.contents[MANIFEST]:
        wrong.append(f"{MANIFEST}: bytes have changed")
    return Check("hashes", not wrong, "; ".join(wrong[:LISTED]) or f"{len(bundle.contents)} files")


def _golden(bundle: Bundle, threads: int) -> Iterator[Check]:
    golden = bundle.golden
    for precision in encoder_precisions(bundle.manifest):
        logits = Translator.of(bundle, precision=precision, threads=threads).first_logits(golden.points)
        apart = float(np.abs(logits - golden.logits[precision]).max())
        limit = bundle.manifest.tolerances.get(precision, 0.0) * float(np.abs(golden.logits[precision]).max())
        yield Check(f"{precision} golden", apart <= limit, f"{apart:.3g} apart, at most {limit:.3g}")


def _card(bundle: Bundle) -> Check:
    current = render_card(bundle.manifest, bundle.contents).encode() == bundle.contents.get(CARD)
    return Check("card", current, "as the manifest says" if current else "is not what the manifest says")


def _figures(bundle: Bundle, store: ClipStore, threads: int) -> Iterator[Check]:
    said: dict[tuple[str, str], list[str]] = {}
    for precision, told in bundle.manifest.metrics.items():
        if told.get("store_sha256") != store.sha256:
            yield Check(f"{precision} figures", False, "measured on another store")
            continue
        split = str(told["split"])
        translator, clips = Translator.of(bundle, precision=precision, threads=threads), translated_clips(store, split)
        texts = said[precision, split] = sentences_of(translator, store, clips)
        figures = figures_of(texts, texts_of(store, clips), sub_words=len(translator.vocabulary))
        got = kept_figures(figures, store, split=split)
        other = [f"{name} {told[name]} -> {value}" for name, value in got.items() if value != told.get(name)]
        yield Check(f"{precision} figures", not other, "; ".join(other[:LISTED]) or f"BLEU-4 {got['bleu4']}")
    yield from _agreement(bundle, said)


def _agreement(bundle: Bundle, said: dict[tuple[str, str], list[str]]) -> Iterator[Check]:
    """Rows of sentences that two precisions share."""
    for row in bundle.manifest.parity:
        one, other = (said.get((name, str(row["on"]))) for name in str(row["pair"]).split("/"))
        if one is not None and other is not None:
            got = equal_share(one, other)
            yield Check(f"{row['pair']} sentences", got == row["agreement"], f"{row['agreement']} % equal, now {got}")
