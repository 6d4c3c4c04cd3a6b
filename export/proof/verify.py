"""Proving a bundle: hashes, metadata, golden tensors, its card, and every figure measured again from the data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import numpy as np

from last_edge.bundle.bundle import Bundle, faults
from last_edge.bundle.card import render_card
from last_edge.bundle.manifest import CARD, MANIFEST, WEIGHTS, Manifest, to_bytes
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, InputError, LastEdgeError
from last_edge.export.onnx.session import logits_of, metadata_of
from last_edge.export.proof.check import Check
from last_edge.export.proof.evaluate import checked_graph
from last_edge.export.proof.parity import LEAST_AGREEMENT, Logits, family, tolerance
from last_edge.export.proof.remeasure import parity_checks, store_checks
from last_edge.runtime.recognise.model import stale


def verify_bundle(path: Path, store: ClipStore | None = None, *, threads: int = 1) -> list[Check]:
    """Every check of a bundle, failed ones too; with a store also every accuracy and parity figure.

    Figures are measured only of graphs that give their golden logits. What no file can prove stays the manifest's
    word: torch against FP32 on clips (`last-edge parity --run` measures it), provenance and `thresholds`. Without torch
    the parameter count is not checked.
    Raises `InputError` when nothing is at `path` or the store is damaged, `GateError` when what is there cannot be
    read as a bundle at all.
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
    checks = [*hashes, *_golden(bundle), *_description(bundle), *_engines(bundle)]
    if WEIGHTS in bundle.contents and util.find_spec("torch") is not None:
        checks.append(_weights(bundle))
    failed = {check.name for check in checks if not check.holds}
    if store is None or failed & {f"{precision} golden" for precision in bundle.precisions}:
        return checks
    return [*checks, *store_checks(bundle, store, threads=threads)]


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
    """Each graph against its golden logits, and the parity rows of the golden inputs."""
    logits: dict[str, Logits] = {}
    for precision in bundle.precisions:
        try:
            logits[precision] = logits_of(checked_graph(bundle, precision), bundle.golden.inputs)
        except LastEdgeError as error:
            yield Check(f"{precision} golden", False, error.what)
            continue
        yield _golden_check(bundle, precision, logits[precision])
    torch = bundle.golden.logits.get("torch")
    if "fp32" in logits and (torch is None or torch.shape == logits["fp32"].shape):
        known = logits if torch is None else {"torch": torch, **logits}
        yield from parity_checks(bundle.manifest.parity, known, on="golden")


def _golden_check(bundle: Bundle, precision: str, got: Logits) -> Check:
    name = f"{precision} golden"
    expected, allowed = bundle.golden.logits.get(precision), bundle.manifest.tolerances.get(precision)
    if expected is None or allowed is None or expected.shape != got.shape:
        return Check(name, False, "no golden logits or tolerance recorded")
    most = tolerance(precision, expected)
    if not 0 <= allowed <= most:
        return Check(name, False, f"tolerance {allowed:.3g} is recorded, at most {most:.3g} is allowed")
    gap = float(np.abs(expected - got).max())
    return Check(name, gap <= allowed, f"max |Δ| {gap:.3g}, allowed {allowed:.3g}")


def _description(bundle: Bundle) -> Iterator[Check]:
    """What the manifest and the card say of the model, against the files and, where torch is, the code."""
    manifest = bundle.manifest
    for precision in bundle.precisions:
        said = metadata_of(bundle.graph(precision))
        same = said.get("model") == manifest.model.name and said.get("labels") == _labels(manifest)
        yield Check(f"{precision} metadata", same, "model and classes" if same else "names another model or classes")
    if WEIGHTS in manifest.files:
        same = manifest.files[WEIGHTS] == manifest.provenance.checkpoint_sha256
        yield Check("weights", same, "those that were exported" if same else "of another checkpoint")
    if util.find_spec("torch") is not None:
        yield _parameters(manifest)
    current = bundle.contents.get(CARD) == render_card(manifest, bundle.contents).encode()
    yield Check("card", current, "as the manifest says" if current else "is not what the manifest says")
    places = {"golden", *(figures.get("split") for figures in manifest.metrics.values())}
    odd = [
        row
        for row in manifest.parity
        if family(str(row.get("pair"))) not in LEAST_AGREEMENT or row.get("on") not in places
    ]
    yield Check("parity rows", not odd, f"nothing can prove {odd[0]}" if odd else f"{len(manifest.parity)} recorded")


def _engines(bundle: Bundle) -> Iterator[Check]:
    """Each engine against the graph that the manifest says it was built from; whether it runs only its device knows."""
    built = {name for name in bundle.manifest.files if name.endswith(".engine")}
    for name in sorted(built | bundle.manifest.engines.keys()):
        source = bundle.manifest.engines.get(name, {}).get("source")
        holds = name in built and not stale(bundle, name)
        yield Check(f"{name} source", holds, f"built from {source}" if holds else "built from another graph")


def _weights(bundle: Bundle) -> Check:
    """The float weights' own logits on the golden inputs, against the recorded ones of torch."""
    from last_edge.export.proof.parity import torch_logits
    from last_edge.train.checkpoint import read_model

    expected = bundle.golden.logits.get("torch")
    try:
        got = torch_logits(read_model(bundle.path), bundle.golden.inputs)
    except LastEdgeError as error:
        return Check("torch golden", False, error.what)
    if expected is None or expected.shape != got.shape:
        return Check("torch golden", False, "no golden logits recorded")
    gap, allowed = float(np.abs(expected - got).max()), tolerance("fp32", expected)
    return Check("torch golden", gap <= allowed, f"max |Δ| {gap:.3g}, allowed {allowed:.3g}")


def _labels(manifest: Manifest) -> str:
    return json.dumps(manifest.labels, ensure_ascii=False)


def _parameters(manifest: Manifest) -> Check:
    """The recorded parameter count against that of the model the manifest names, built anew."""
    from last_edge.models import create_model

    info = manifest.model
    try:
        model = create_model(info.name, spec=manifest.input, classes=len(manifest.labels), **info.kwargs)
    except (LastEdgeError, TypeError, ValueError) as error:
        return Check("parameters", False, f"no such model can be built: {error}")
    count = sum(parameter.numel() for parameter in model.parameters())
    return Check("parameters", count == info.params, f"recorded {info.params:,}, counted {count:,}")
