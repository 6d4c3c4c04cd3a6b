"""What learns beside the trunk in pre-training and is thrown away afterwards."""

from __future__ import annotations

from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec


class PoseDecoder(nn.Module):
    """Linear from the feature's mean over time and joints to one pose: (N, C, T', V) -> (N, [M,] 1, V, axes)."""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__()
        bodies = () if spec.bodies == 1 else (spec.bodies,)
        self.shape = (*bodies, 1, spec.layout.joints, spec.channels)
        self.linear = nn.Linear(width, spec.bodies * spec.layout.joints * spec.channels)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.linear(features.mean(dim=(2, 3))).unflatten(1, self.shape)  # type: ignore[no-any-return]


class PointDecoder(nn.Module):
    """Linear from each place's feature to the points of the frames it stands for.

    (N, C, T', V) -> (N, [M,] T, V, axes): feature frame t' answers for ceil(T / T') frames in a row.
    """

    def __init__(self, width: int, spec: InputSpec, *, frames: int) -> None:
        super().__init__()
        self.spec, self.each = spec, -(-spec.frames // frames)
        self.linear = nn.Linear(width, spec.bodies * spec.channels * self.each)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        bodies, axes = self.spec.bodies, self.spec.channels
        made = self.linear(features.permute(0, 2, 3, 1)).unflatten(3, (bodies, axes, self.each))
        points: Tensor = made.permute(0, 3, 1, 5, 2, 4).flatten(2, 3)[:, :, : self.spec.frames]
        return points[:, 0] if bodies == 1 else points


def projector(width: int, out: int) -> nn.Sequential:
    """Feature (N, C) -> what is contrasted, (N, out), through one hidden layer (Chen et al. 2020)."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, out))
