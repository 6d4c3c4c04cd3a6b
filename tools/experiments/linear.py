"""The linear probe: what a trunk's mean feature tells a linear classifier."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.inputs.features import LANDMARKS
from last_edge.models.landmark_model import LandmarkModel
from last_edge.train.evaluate import BATCH

DECAY = 1e-3
STEPS = 200


@torch.no_grad()
def mean_features(model: LandmarkModel, store: ClipStore, clips: NDArray[np.int64], *, device: str = "cpu") -> Tensor:
    """(n, C) means of the last feature map over time and joints: plain windows, model in eval mode, on the CPU."""
    model = model.to(device).eval()
    rows = []
    for start in range(0, len(clips), BATCH):
        points = torch.from_numpy(plain_batch(store, clips[start : start + BATCH], model.spec)[LANDMARKS]).to(device)
        rows.append(model.features_and_logits(model.front(points))[0][-1].float().mean(dim=(2, 3)).cpu())
    return torch.cat(rows)


def fit_linear(features: Tensor, labels: NDArray[np.int64], classes: int) -> nn.Sequential:
    """Multinomial logistic regression on standardised features (n, C), by L-BFGS in double precision.

    `DECAY` times the squared weights is added to the mean cross entropy. Nothing is drawn at random.
    """
    inputs, targets = features.double(), torch.from_numpy(labels)
    norm = Standardise(inputs.mean(0), inputs.std(0, unbiased=False).clamp(min=1e-6))
    linear = nn.Linear(inputs.shape[1], classes).double()
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")
    ready = norm(inputs)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(linear(ready), targets) + DECAY * linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return nn.Sequential(norm, linear)


class Standardise(nn.Module):
    """(x - mean) / std a feature."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return (x.double() - self.mean) / self.std


@torch.no_grad()
def linear_hits(classifier: nn.Module, features: Tensor, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether the classifier is right about features (n, C)."""
    return np.asarray(classifier(features).argmax(1).numpy() == labels)
