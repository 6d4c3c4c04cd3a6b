"""Predictions and metrics of a torch model on clips of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from last_edge.clips.store import ClipStore
from last_edge.data.dataset import plain_batch
from last_edge.errors import InputError
from last_edge.inputs.spec import InputSpec
from last_edge.train.checkpoint import Which, load_checkpoint
from last_edge.train.metrics import classification_metrics
from last_edge.train.plan import check_points

BATCH = 64


@torch.inference_mode()
def predict(
    model: nn.Module, store: ClipStore, clips: NDArray[np.int64], *, spec: InputSpec, device: str = "cpu"
) -> NDArray[np.float32]:
    """(n, K) float32 logits of clips, plain windows, model in eval mode and put back as it was."""
    training = model.training
    model.eval()
    batches = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    parts = [model(torch.from_numpy(plain_batch(store, batch, spec)).to(device)).float().cpu() for batch in batches]
    model.train(training)
    return np.asarray(torch.cat(parts).numpy())


def metrics_of(logits: NDArray[np.float32], store: ClipStore, clips: NDArray[np.int64]) -> dict[str, Any]:
    """Metrics of logits (n, K) for those clips."""
    subjects = store.index.subject[clips].astype(str).tolist()
    return classification_metrics(logits, store.index.label[clips], subjects=subjects, label_names=store.labels)


def evaluate_run(path: Path, store: ClipStore, *, split: str = "test", which: Which = "best") -> dict[str, Any]:
    """Metrics of a run's checkpoint on a split of a store."""
    checkpoint = load_checkpoint(path, which)
    clips = labelled_clips(store, split)
    check_fits(store, checkpoint.spec, checkpoint.labels)
    return metrics_of(predict(checkpoint.model, store, clips, spec=checkpoint.spec), store, clips)


def labelled_clips(store: ClipStore, split: str) -> NDArray[np.int64]:
    """Labelled clips of a split; `InputError` when there are none."""
    clips = store.select(split=split)
    clips = clips[store.index.label[clips] >= 0]
    if not len(clips):
        splits = sorted(set(store.index.split.tolist()))
        hint = "--split names another one"
        raise InputError("no labelled clips in this split", where=store.path, expected=split, got=splits, hint=hint)
    return clips


def check_fits(store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> None:
    """`InputError` when a store's layout, axes, bodies or labels are not those of an artefact."""
    check_points(store, spec)
    if store.labels != labels:
        raise InputError("store has other labels", where=store.path, expected=labels, got=store.labels)
