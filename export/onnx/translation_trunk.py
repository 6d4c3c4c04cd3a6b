"""The edge form of a translator's trunk: the same tokens, norms and masks folded away."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from last_edge.export.onnx.edge_front import EdgeFront
from last_edge.export.onnx.fold import fold_stages
from last_edge.models.sign2text import Sign2Text


class EdgeStages(nn.Module):
    """Streams (N, S*C, T, V) -> the last stage's map, as the only one of `stage_features`."""

    def __init__(self, stem: nn.Module, blocks: nn.Module) -> None:
        super().__init__()
        self.stem, self.blocks = stem, blocks

    def stage_features(self, streams: Tensor) -> list[Tensor]:
        """See `LastBody.stage_features`."""
        return [self.blocks(self.stem(streams))]


@torch.no_grad()
def with_edge_trunk(model: Sign2Text) -> Sign2Text:
    """A translator with its trunk in edge form, the model itself when it has none; the model stays as it is."""
    if model.trunk is None:
        return model
    made = copy.deepcopy(model)
    trunk = made.trunk
    assert trunk is not None
    stages = EdgeStages(*fold_stages(trunk.body.double().eval(), frames=trunk.frames))
    trunk.front, trunk.body = EdgeFront(trunk.front.spec), stages.float()  # type: ignore[assignment]
    return made.eval()
