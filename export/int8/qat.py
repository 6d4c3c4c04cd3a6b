"""Quantisation-aware training: an 8-bit graph's weights learn to be rounded, taught by a float graph's answers."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME, Figure
from last_edge.clips.features import features_for
from last_edge.clips.store import ClipStore
from last_edge.data.augment import Augment
from last_edge.data.dataset import ClipDataset, epoch_order
from last_edge.export.int8.evaluator import Evaluator
from last_edge.export.int8.qdq_torch import QdqModule
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import FeatureInput, Inputs
from last_edge.inputs.spec import InputSpec


@dataclass(frozen=True)
class QatOptions:
    """epochs: over the learning clips. lr: of Adam, falling to 0 as half a cosine. tau: temperature of the teacher's
    answers. labels: share of the labels' cross entropy in the loss; the rest is the teacher's. seed: order and
    augmentation."""

    epochs: int = 3
    batch_size: int = 32
    lr: float = 2e-4
    tau: float = 2.0
    labels: float = 0.3
    seed: int = 0


def train_rounded(
    graph: bytes, teacher: bytes, evaluator: Evaluator, *, store: ClipStore, clips: NDArray[np.int64], spec: InputSpec,
    features: FeatureInput | None = None, options: QatOptions | None = None,
    report: Callable[[dict[str, Figure]], None] = lambda row: None,
) -> tuple[bytes, list[dict[str, Figure]]]:  # fmt: skip
    """The 8-bit graph of the epoch that the evaluator finds nearest to float, the one given (epoch 0) among them.

    teacher: a float graph for the same inputs, the model's own or a better one's. features: the second input, where
    the model has one. Returns the graph with a row an epoch.
    """
    options = options or QatOptions()
    module, answers = QdqModule(graph), _answers(teacher)
    optimizer = torch.optim.Adam(module.parameters(), lr=options.lr)
    steps = options.epochs * math.ceil(len(clips) / options.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    best, best_graph = evaluator(graph), graph
    rows: list[dict[str, Figure]] = [{"epoch": 0, "loss": float("nan"), **best.row()}]
    for epoch in range(options.epochs):
        losses = []
        for inputs, labels in _batches(store, clips, spec, features, epoch, options):
            points, *others = map(torch.from_numpy, inputs.values())
            made_of = dict(zip([*inputs][1:], others, strict=True))
            loss = _loss(module(points, **made_of), answers(inputs), labels, options)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        made = module.to_bytes()
        verdict = evaluator(made)
        rows.append({"epoch": epoch + 1, "loss": round(float(np.mean(losses)), 4), **verdict.row()})
        report(rows[-1])
        if verdict.rank < best.rank:
            best, best_graph = verdict, made
    return best_graph, rows


def _loss(logits: Tensor, taught: Tensor, labels: Tensor, options: QatOptions) -> Tensor:
    """(1 - l) (tau^2 KL(teacher || student) + logit error) + l cross entropy (Hinton et al. 2015; Ba & Caruana 2014).

    The logit error is relative and without what is added to all logits alike; it still teaches where the teacher is
    sure and the divergence has nothing left to say.
    """
    tau = options.tau
    student, teacher = (nn.functional.log_softmax(x / tau, 1) for x in (logits, taught))
    apart = nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    ours, theirs = (x - x.mean(1, keepdim=True) for x in (logits, taught))
    error = (ours - theirs).square().mean() / theirs.square().mean().clamp(min=1e-12)
    soft = tau * tau * apart + error
    return (1 - options.labels) * soft + options.labels * nn.functional.cross_entropy(logits, labels)


def _answers(teacher: bytes) -> Callable[[Inputs], Tensor]:
    session = open_session(teacher)
    return lambda inputs: torch.from_numpy(session.run([OUTPUT_NAME], dict(inputs))[0])


def _batches(
    store: ClipStore, clips: NDArray[np.int64], spec: InputSpec, features: FeatureInput | None, epoch: int,
    options: QatOptions,
) -> Iterator[tuple[Inputs, Tensor]]:  # fmt: skip
    """Slightly turned and scaled windows of this epoch, shuffled, with the features of their clips."""
    ranges = Augment(rotation_deg=15.0, scale=0.1)
    data = ClipDataset(store, clips, spec=spec, ranges=ranges, seed=options.seed)
    data.epoch = epoch
    order = epoch_order(len(clips), seed=options.seed, epoch=epoch)
    for start in range(0, len(order), options.batch_size):
        items = [data[int(index)] for index in order[start : start + options.batch_size]]
        inputs = {INPUT_NAME: np.stack([item[0].numpy() for item in items])}
        if features is not None:
            inputs[features.name] = features_for(store, features).windows([item[2] for item in items], features.frames)
        yield inputs, torch.tensor([item[1] for item in items])
