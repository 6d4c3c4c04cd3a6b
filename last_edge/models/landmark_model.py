"""A recogniser from raw landmarks to logits: the front that makes streams, and a body that reads them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models.body import Body
from last_edge.models.front import LandmarkFront


class LandmarkModel(nn.Module):
    """Points (N, T, V, C) or (N, M, T, V, C), NaN where missing -> logits (N, K). `body` decides which bodies count.

    features: the second input of a model that has one; its calls then take a batch of it as their second argument.
    """

    features: FeatureInput | None = None

    def __init__(self, spec: InputSpec, body: nn.Module) -> None:
        super().__init__()
        self.front = LandmarkFront(spec)
        self.body = body

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self.front.spec

    def forward(self, points: Tensor) -> Tensor:
        """See the class."""
        return self.from_streams(self.front(points))

    def from_streams(self, streams: Tensor) -> Tensor:
        """Streams (N, [M,] S*C, T, V) -> logits (N, K). A body whose streams are all 0 is absent; keep it so."""
        return self.body(streams)  # type: ignore[no-any-return]

    def example(self, clips: int = 1) -> tuple[Tensor, ...]:
        """Zeros in the shape of every input, where the weights are."""
        device = next(self.parameters()).device
        shapes = [self.spec.shape, *([] if self.features is None else [self.features.shape])]
        return tuple(torch.zeros(clips, *shape, device=device) for shape in shapes)

    def stage_widths(self) -> tuple[int, ...]:
        """Channels of the feature map after each stage; empty for a body that shows no stages."""
        return self.body.stage_widths() if isinstance(self.body, Body) else ()

    def features_and_logits(self, streams: Tensor) -> tuple[list[Tensor], Tensor]:
        """`from_streams` with the feature maps that it passes by (see `Body`)."""
        return self.body.features_and_logits(streams) if isinstance(self.body, Body) else ([], self.body(streams))

    def auxiliary_loss(self) -> Tensor | None:
        """What the body adds to the loss after a forward pass in training, a scalar without its weight; else None."""
        return self.body.auxiliary_loss() if isinstance(self.body, Body) else None
