"""Accuracy of an exported file: the bytes in the bundle run on the clips of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips, plain_batch
from last_edge.errors import InputError
from last_edge.export.onnx.session import logits_of, metadata_of
from last_edge.runtime.recognise.model import settings_of
from last_edge.tasks.metrics import metrics_of

SUMMARY = ("top1", "top3", "top5", "mean_class", "ece", "n")


def evaluate_bundle(
    bundle: Bundle | Path,
    store: ClipStore,
    *,
    split: str = "test",
    precision: str = "fp32",
    threads: int | None = None,
    merge_at: str = "",
) -> dict[str, Any]:
    """Metrics of one precision's graph on a split; shares in percent. `InputError` when store and bundle differ.

    It runs as `bench tune` found it fastest; threads: wins over that. merge_at: see
    `last_edge.tasks.metrics.merged`.
    """
    bundle = Bundle.open(bundle) if isinstance(bundle, Path) else bundle
    check_store(bundle, store)
    clips = labelled_clips(store, split)
    graph = checked_graph(bundle, precision)
    settings = settings_of(bundle.manifest, precision, threads=threads)
    inputs = plain_batch(store, clips, bundle.manifest.input, bundle.manifest.features)
    logits = logits_of(graph, inputs, settings=settings)
    return metrics_of(logits, store, clips, merge_at=merge_at)


def checked_graph(bundle: Bundle, precision: str) -> bytes:
    """A graph whose own metadata names the manifest's `InputSpec`; `InputError` otherwise."""
    graph = bundle.graph(precision)
    expected, got = bundle.manifest.input.sha256, metadata_of(graph).get("input_sha256")
    if got != expected:
        raise InputError(
            "graph takes another input than the manifest says", where=bundle.path, expected=expected, got=got
        )
    return graph


def check_store(bundle: Bundle, store: ClipStore) -> None:
    """`InputError` when a store's layout, units or labels are not the bundle's."""
    check_fits(store, bundle.manifest.input, bundle.manifest.labels)
    if store.units != bundle.manifest.units:
        raise InputError("store in other units", where=store.path, expected=bundle.manifest.units, got=store.units)


def summarise(
    logits: NDArray[np.float32], store: ClipStore, clips: NDArray[np.int64], *, split: str
) -> dict[str, Figure]:
    """The figures of a manifest: shares in percent, the split, its clip count and the store's sha256."""
    metrics = metrics_of(logits, store, clips)
    return {**{name: metrics[name] for name in SUMMARY}, "split": split, "store_sha256": store.sha256}
