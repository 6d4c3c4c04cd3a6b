"""Predictions and metrics of a torch model on clips of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips, plain_batch
from last_edge.inputs.features import Inputs
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.metrics import metrics_of
from last_edge.train.checkpoint import Which, load_checkpoint

__all__ = ["BATCH", "check_fits", "evaluate_run", "labelled_clips", "metrics_of", "predict"]

BATCH = 64


@torch.inference_mode()
def predict(
    model: nn.Module, store: ClipStore, clips: NDArray[np.int64], *, spec: InputSpec, device: str = "cpu"
) -> NDArray[np.float32]:
    """(n, K) float32 logits of clips, plain windows, model in eval mode and put back as it was."""
    training = model.training
    model.eval()
    batches = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    features = model.features if isinstance(model, LandmarkModel) else None
    parts = [_logits(model, plain_batch(store, batch, spec, features), device) for batch in batches]
    model.train(training)
    return np.asarray(torch.cat(parts).numpy())


def _logits(model: nn.Module, batch: Inputs, device: str) -> Tensor:
    return model(*(torch.from_numpy(part).to(device) for part in batch.values())).float().cpu()  # type: ignore[no-any-return]


def evaluate_run(
    path: Path, store: ClipStore, *, split: str = "test", which: Which = "best", merge_at: str = ""
) -> dict[str, Any]:
    """Metrics of a run's checkpoint on a split of a store. merge_at: see `last_edge.tasks.metrics.merged`."""
    checkpoint = load_checkpoint(path, which)
    clips = labelled_clips(store, split)
    check_fits(store, checkpoint.spec, checkpoint.labels)
    logits = predict(checkpoint.model, store, clips, spec=checkpoint.spec)
    return metrics_of(logits, store, clips, merge_at=merge_at)
