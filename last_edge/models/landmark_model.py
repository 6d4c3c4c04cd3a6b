"""A recogniser from raw landmarks to logits: the front that makes streams, and a body that reads them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models.front import LandmarkFront


class Body(nn.Module):
    """What every recogniser's body offers beside streams (N, S*C, T, V), or (N, M, S*C, T, V) for several -> logits.

    streamable: runs frame by frame with a state of its own. reads_all_bodies: costs are stated for two bodies.
    """

    streamable = False
    reads_all_bodies = False

    def receptive_field(self) -> int | None:
        """Input frames that one position of the last feature map depends on; None where it depends on the whole clip.

        Counted without the input's normalisation, which may centre a clip on its first frame.
        """
        return None

    def stage_widths(self) -> tuple[int, ...]:
        """Channels of the feature map after each stage; empty for a body that shows no stages."""
        return ()

    def features_and_logits(self, streams: Tensor) -> tuple[list[Tensor], Tensor]:
        """One forward pass: the clip's feature map after each stage, (N, C_i, T_i, V), and logits (N, K).

        Where the body reads several streams or bodies apart, a clip's map is the mean over those that are there.
        """
        return [], self(streams)

    def auxiliary_loss(self) -> Tensor | None:
        """Unweighted term to add to the loss, of the last forward pass in training; None where there is none."""
        return None

    def training_only(self) -> tuple[nn.Module, ...]:
        """Modules that only training needs; an exported model goes without."""
        return ()

    def bodies_read(self, spec: InputSpec) -> int:
        """How many of the input's bodies count."""
        return 1

    def deployed(self, spec: InputSpec) -> nn.Module:
        """The form to export, of a body in eval mode and float64 that is not used any more: batch norms, masks and
        constants folded away, as few nodes as possible. `UsageError` for a body that has none."""
        raise UsageError("no edge form for this model", got=type(self).__name__)


class LandmarkModel(nn.Module):
    """Points (N, T, V, C) or (N, M, T, V, C), NaN where missing -> logits (N, K). `body` decides which bodies count.

    bodies: how many the front reads, all when None. features: the second input of a model that has one; its calls
    then take a batch of it, (N, F, E), as their second argument.
    """

    def __init__(
        self, spec: InputSpec, body: nn.Module, *, bodies: int | None = None, features: FeatureInput | None = None
    ) -> None:
        super().__init__()
        self.front = LandmarkFront(spec, bodies=bodies)
        self.body, self.features = body, features

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self.front.spec

    def forward(self, points: Tensor, features: Tensor | None = None) -> Tensor:
        return self.from_streams(self.front(points), features)

    def from_streams(self, streams: Tensor, features: Tensor | None = None) -> Tensor:
        """Streams (N, [M,] S*C, T, V) -> logits (N, K). A body whose streams are all 0 is absent; keep it so."""
        return self.body(streams) if features is None else self.body(streams, features)

    @torch.no_grad()
    def deployed(self) -> LandmarkModel:
        """The model to export, in eval mode on the CPU; the model itself stays as it is.

        Sums are made in float64, so that outputs agree to about 1e-6. `UsageError` for a body without a deployed form.
        """
        body = copy.deepcopy(self.body).cpu().double().eval()
        if not isinstance(body, Body):
            raise UsageError("no edge form for this model", got=type(body).__name__)
        bodies = body.bodies_read(self.spec)
        made = LandmarkModel(self.spec, body.deployed(self.spec), bodies=bodies, features=self.features)
        return made.float().eval()

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
