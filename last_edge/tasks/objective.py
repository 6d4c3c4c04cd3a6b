"""Training losses. An objective maps a model and a batch to one scalar; distillation brings its own.

Of a classifier: cross entropy, focal loss, weights for classes that are rare.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.config import AugmentConfig

SMOOTHING_COUNT = 0.1
LIGHTEST, HEAVIEST = 0.1, 10.0
WEIGHT_POWERS = {"none": 0.0, "softened": 0.5, "balanced": 1.0}
"""Power of a class's rarity by which its clips count, for each choice of `training.class_weights`."""
LEAST_DOUBT = 1e-7  # a power of 0 has no gradient


class Objective(Protocol):
    """(model, points, targets) -> (loss, logits). targets: (N, K) class probabilities.

    An objective may also have `parts`, the terms of the last loss by name, of which every epoch's row holds the mean.
    """

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]: ...


def parts_of(objective: Objective) -> dict[str, Tensor]:
    """The terms of the last loss by name; empty where the objective tells none."""
    return dict(getattr(objective, "parts", {}))


@runtime_checkable
class HelpedObjective(Objective, Protocol):
    """An objective with more to it than a function of the batch.

    helpers: modules that are trained with the model and kept by no checkpoint's model and no bundle; the trainer's
    state has them, so that a run resumes with them. They hold no batch norm.
    """

    helpers: nn.Module

    def begin_batch(self, clips: Tensor, view: int) -> None:
        """Told before each call: the batch's clip ids (N,) and the number of their augmentation (see ClipDataset)."""
        ...


@runtime_checkable
class TimedObjective(Objective, Protocol):
    """An objective that changes in the course of a run."""

    def at(self, share: float) -> None:
        """Told before each window of batches which share of the run is done, 0 to 1."""
        ...


def helpers_of(objective: Objective) -> nn.Module:
    """The modules that an objective trains for itself; an empty one where it has none."""
    return objective.helpers if isinstance(objective, HelpedObjective) else nn.Module()


def training_streams(model: LandmarkModel, points: Tensor, *, noise: AugmentConfig, clamp: float) -> Tensor:
    """Streams of a training batch, each with its own noise, clamped against tracking glitches.

    Exact zeros, missing points and absent bodies among them, stay zero.
    """
    streams: Tensor = model.front(points)
    sizes = {"joint": noise.noise_joint, "velocity": noise.noise_velocity, "bone": noise.noise_bone}
    if any(sizes.values()):
        scale = torch.tensor([sizes[name] for name in model.spec.streams], device=streams.device)
        per_channel = scale.repeat_interleave(model.spec.channels)[:, None, None]
        streams = streams + torch.randn_like(streams) * per_channel * (streams != 0)
    return streams.clamp(-clamp, clamp) if clamp else streams


class CrossEntropy:
    """Label-smoothed cross entropy on noisy streams, plus `ib_weight` times the model's own term where it has one.

    gamma, weights: of the focal loss and the classes (see `losses.label_loss`). weights_from: share of the run after
    which the weights count, so that the trunk learns from all clips alike and only then rare classes are made up for
    (deferred re-weighting, Cao et al. 2019).
    """

    def __init__(
        self, *, smoothing: float, noise: AugmentConfig, clamp: float, ib_weight: float = 0.0, gamma: float = 0.0,
        weights: Tensor | None = None, weights_from: float = 0.0,
    ) -> None:  # fmt: skip
        self.smoothing, self.noise, self.clamp, self.ib_weight = smoothing, noise, clamp, ib_weight
        self.gamma, self.weights, self.weights_from = gamma, weights, weights_from
        self._share = 0.0

    def at(self, share: float) -> None:
        self._share = share

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = model.from_streams(self.streams(model, points))
        return self.loss(model, logits, targets), logits

    def streams(self, model: LandmarkModel, points: Tensor) -> Tensor:
        """What the model reads of a batch (see `training_streams`)."""
        return training_streams(model, points, noise=self.noise, clamp=self.clamp)

    def loss(self, model: LandmarkModel, logits: Tensor, targets: Tensor) -> Tensor:
        """The scalar for logits (N, K) that `model` has just given."""
        loss, bottleneck = self._labels(logits, targets), model.auxiliary_loss()
        return loss if bottleneck is None else loss + self.ib_weight * bottleneck

    def _labels(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = self.weights if self._share >= self.weights_from else None
        if not self.gamma and weights is None:
            return smoothed_cross_entropy(logits, targets, self.smoothing)
        return label_loss(logits, targets, self.smoothing, gamma=self.gamma, weights=weights)


def class_weights(labels: NDArray[np.int64], classes: int, *, power: float = 1.0) -> NDArray[np.float32]:
    """(K,) weights of classes by the labels of the training clips: rare ones count more.

    1 / (count + 0.1) to the power given, scaled to a mean of 1 over the classes that have clips, then limited to
    0.1..10. A class without any weighs 1 and changes no other's weight.
    """
    counts = np.bincount(labels, minlength=classes)
    inverse, there = (1 / (counts + SMOOTHING_COUNT)) ** power, counts > 0
    scaled = np.clip(inverse * there.sum() / inverse[there].sum(), LIGHTEST, HEAVIEST)
    return np.asarray(np.where(there, scaled, 1), np.float32)


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy against (1 - s) * target + s / K, in float32."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)


def label_loss(logits: Tensor, targets: Tensor, smoothing: float, *, gamma: float, weights: Tensor | None) -> Tensor:
    """Focal loss (Lin et al. 2017, eq. 4) of smoothed targets, each class with its weight; in float32.

    Each class's term - target * log p is multiplied by (1 - p)^gamma and by its weight, and the sum over the batch
    divided by the sum of the targets' weights: at gamma 0 it is torch's weighted cross entropy.
    """
    log_p = torch.log_softmax(logits.float(), dim=1)
    smoothed = (1 - smoothing) * targets + smoothing / targets.shape[1]
    by_class = torch.ones_like(log_p[0]) if weights is None else weights.to(log_p.device)
    terms = -smoothed * (-torch.expm1(log_p)).clamp(min=LEAST_DOUBT) ** gamma * log_p if gamma else -smoothed * log_p
    return (terms * by_class).sum() / (targets * by_class).sum()
