"""Measuring again what a manifest says of clips: accuracy, parity of the files, where the INT8 ranges come from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure, Manifest
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips, plain_batch
from last_edge.export.int8.calibration import CALIBRATION_SPLIT, clip_ids
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.check import ENOUGH_CLIPS, Check, number, one_clip
from last_edge.export.proof.evaluate import SUMMARY, check_store, checked_graph, summarise
from last_edge.export.proof.parity import Logits, parity_rows, tolerance

# Half a unit of the last decimal of a share in percent, twice.
ROUNDING = 0.01
AGREEMENT_ROUNDING = 1e-3
# Points the calibration error may move between processors: unlike a share of clips it is not made of whole clips.
ECE_TOLERANCE = 0.3
# Share by which the gap between FP32 and INT8 may differ between processors, whose INT8 kernels round differently.
GAP_TOLERANCE = 0.25


def store_checks(bundle: Bundle, store: ClipStore, *, threads: int = 1) -> Iterator[Check]:
    """Each recorded figure, each FP32:INT8 parity row and the calibration clips against the store.

    `InputError` when the store's bytes have changed or it is not of the bundle's kind.
    """
    store.verify()
    recorded = {name: bundle.manifest.metrics.get(name, {}) for name in bundle.precisions}
    strange = {name: _fault(figures, store) for name, figures in recorded.items()}
    yield from (Check(f"{name} figures", False, fault) for name, fault in strange.items() if fault)
    usable = {name: figures for name, figures in recorded.items() if not strange[name]}
    for split in sorted({str(figures["split"]) for figures in usable.values()}):
        here = {name: figures for name, figures in usable.items() if figures["split"] == split}
        yield from _split_checks(bundle, store, split, here, threads=threads)
    if "int8" in bundle.precisions or bundle.manifest.calibration_ids:
        yield _calibration(bundle.manifest, store)


def parity_checks(recorded: tuple[dict[str, Figure], ...], logits: dict[str, Logits], *, on: str) -> Iterator[Check]:
    """Each parity row that these logits (n, K) by precision give, against the recorded one of the same inputs."""
    noise = tolerance("fp32", logits["fp32"])
    for now in parity_rows(logits, on=on):
        said = [row for row in recorded if (row.get("pair"), row.get("on")) == (now["pair"], on)]
        holds = len(said) == 1 and _same_row(said[0], now, noise=noise)
        yield Check(f"parity {now['pair']} on {on}", holds, f"recorded {_told(said)}, measured {_told([now])}")


def _fault(figures: dict[str, Figure], store: ClipStore) -> str:
    """Why recorded figures cannot be measured again on this store; empty when they can."""
    if not figures.get("split"):
        return "none recorded"
    measured_on = str(figures.get("store_sha256"))
    return "" if measured_on == store.sha256 else f"measured on store {measured_on[:12]}, given {store.sha256[:12]}"


def _split_checks(
    bundle: Bundle, store: ClipStore, split: str, recorded: dict[str, dict[str, Figure]], *, threads: int
) -> Iterator[Check]:
    check_store(bundle, store)
    clips = labelled_clips(store, split)
    inputs = plain_batch(store, clips, bundle.manifest.input, bundle.manifest.features)
    logits = {name: logits_of(checked_graph(bundle, name), inputs, threads=threads) for name in bundle.precisions}
    allowed = _allowed(store.index.label[clips])
    for precision, figures in recorded.items():
        now = summarise(logits[precision], store, clips, split=split)
        for name in SUMMARY:
            said, got = number(figures.get(name)), number(now[name])
            detail = f"recorded {said:g}, measured {got:g}"
            yield Check(f"{precision} {name}", abs(said - got) <= allowed[name] + 1e-9, detail)
    yield from parity_checks(bundle.manifest.parity, logits, on=split)


def _allowed(labels: NDArray[np.int64]) -> dict[str, float]:
    """How far each figure may be off, in its own unit, for clips of these classes (n,)."""
    clips = len(labels)
    if clips < ENOUGH_CLIPS:
        return {**dict.fromkeys(SUMMARY, 0.0), "ece": ROUNDING}
    members = np.unique(labels, return_counts=True)[1]
    of_class = 100.0 / (len(members) * float(members.min()))
    share = one_clip(clips) + ROUNDING
    return {**dict.fromkeys(SUMMARY, share), "mean_class": of_class + ROUNDING, "ece": ECE_TOLERANCE, "n": 0.0}


def _same_row(said: dict[str, Figure], now: dict[str, Figure], *, noise: float) -> bool:
    """Whether a parity row was measured again. noise: |difference| of logits that FP32 rounding explains."""
    clips = int(now["n"])
    made = now["on"] == "golden"  # skeletons between the classes, where rounding may settle a tie
    flips = 100.0 / clips if made else one_clip(clips)
    same = (
        said.get("n") == clips
        and abs(number(said.get("agreement")) - number(now["agreement"])) <= flips + AGREEMENT_ROUNDING
    )
    gaps = [(number(said.get(name)), number(now[name])) for name in ("max_abs", "mean_abs")]
    return same and all(abs(one - other) <= noise + GAP_TOLERANCE * other for one, other in gaps)


def _told(rows: list[dict[str, Figure]]) -> str:
    facts = ("n", "agreement", "max_abs", "mean_abs")
    return " and ".join(", ".join(f"{name} {row.get(name)}" for name in facts) for row in rows) or "none"


def _calibration(manifest: Manifest, store: ClipStore) -> Check:
    """Whether the ranges were found on labelled training clips of this store."""
    drawn_from = str(manifest.calibration.get("store_sha256"))
    if drawn_from != store.sha256:
        return Check("calibration", False, f"drawn from store {drawn_from[:12]}, given {store.sha256[:12]}")
    named = set(manifest.calibration_ids)
    strangers = sorted(named - set(clip_ids(store, labelled_clips(store, CALIBRATION_SPLIT))))
    if strangers or not named:
        return Check("calibration", False, f"not in the {CALIBRATION_SPLIT} split: {strangers[:3] or 'none named'}")
    return Check("calibration", True, f"{len(named)} clips of the {CALIBRATION_SPLIT} split")
