"""Proving a bundle: hashes, metadata, golden tensors, and every figure measured again from the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from last_edge.bundle.manifest import MANIFEST, Figure, to_bytes
from last_edge.bundle.reader import Bundle, faults
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, InputError, LastEdgeError
from last_edge.export.evaluate import SUMMARY, checked_graph, evaluate_bundle
from last_edge.export.session import logits_of

# Percentage points a figure may move between processors, whose INT8 kernels round differently.
FIGURE_TOLERANCE = 0.3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. name: what. holds: whether it is as recorded. detail: expected and got."""

    name: str
    holds: bool
    detail: str


def verify_bundle(path: Path, store: ClipStore | None = None) -> list[Check]:
    """Every check of a bundle, failed ones too; with a store also every accuracy figure.

    Raises `InputError` when nothing is at `path`, `GateError` when what is there cannot be read as a bundle at all.
    """
    if not path.exists():
        raise InputError("no bundle here", where=path, hint="last-edge export RUN --out BUNDLE")
    try:
        bundle = Bundle.open(path, verify_hashes=False)
    except InputError as error:
        raise GateError(error.what, where=error.where, expected=error.expected, got=error.got) from error
    hashes = list(_hashes(bundle))
    if not all(check.holds for check in hashes):
        return hashes
    checks = [*hashes, *_golden(bundle)]
    return checks if store is None else [*checks, *_figures(bundle, store)]


def require(checks: list[Check], *, where: object) -> None:
    """`GateError` naming every failed check."""
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.holds]
    if failed:
        raise GateError("verification failed", where=where, got="; ".join(failed))


def _hashes(bundle: Bundle) -> Iterator[Check]:
    manifest = bundle.manifest
    wrong = dict(faults(manifest, bundle.contents))
    for name, expected in sorted(manifest.files.items()):
        yield Check(name, name not in wrong, wrong.get(name, f"sha256 {expected[:12]}"))
    whole = to_bytes(manifest) == bundle.contents[MANIFEST]
    yield Check(MANIFEST, whole, f"seal {manifest.seal[:12]}" if whole else "bytes have changed")


def _golden(bundle: Bundle) -> Iterator[Check]:
    """Each graph against its golden logits, and its metadata against the manifest."""
    for precision in bundle.precisions:
        try:
            got = logits_of(checked_graph(bundle, precision), bundle.golden.points)
        except LastEdgeError as error:
            yield Check(f"{precision} golden", False, error.what)
            continue
        expected, allowed = bundle.golden.logits.get(precision), bundle.manifest.tolerances.get(precision)
        if expected is None or allowed is None or expected.shape != got.shape:
            yield Check(f"{precision} golden", False, "no golden logits or tolerance recorded")
            continue
        gap = float(np.abs(expected - got).max())
        yield Check(f"{precision} golden", gap <= allowed, f"max |Δ| {gap:.3g}, allowed {allowed:.3g}")


def _figures(bundle: Bundle, store: ClipStore) -> Iterator[Check]:
    """Each recorded figure against the same measurement now."""
    for precision in bundle.precisions:
        recorded = bundle.manifest.metrics.get(precision)
        if recorded is None:
            yield Check(f"{precision} figures", False, "none recorded")
        elif recorded["store_sha256"] != store.sha256:
            detail = f"measured on store {str(recorded['store_sha256'])[:12]}, given {store.sha256[:12]}"
            yield Check(f"{precision} figures", False, detail)
        else:
            yield from _compare(bundle, store, precision, recorded)


def _compare(bundle: Bundle, store: ClipStore, precision: str, recorded: dict[str, Figure]) -> Iterator[Check]:
    now = evaluate_bundle(bundle, store, split=str(recorded["split"]), precision=precision)
    for name in SUMMARY:
        expected, got = float(recorded[name]), float(now[name])
        allowed = 0.0 if name == "n" else max(FIGURE_TOLERANCE, 100.0 / max(int(now["n"]), 1))
        holds = abs(expected - got) <= allowed + 1e-9
        yield Check(f"{precision} {name}", holds, f"recorded {expected:g}, measured {got:g}")
