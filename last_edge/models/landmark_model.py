"""A recogniser from raw landmarks to logits: the front that makes streams, and a body that reads them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.front import LandmarkFront
from last_edge.names import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Variant = TypeVar("Variant", bound="DataclassInstance")


class LandmarkModel(nn.Module):
    """Points (N, T, V, C) or (N, M, T, V, C), NaN where missing -> logits (N, K). Of several bodies one is read."""

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
        """Streams (N, [M,] S*C, T, V) -> logits (N, K)."""
        return self.body(streams if self.spec.bodies == 1 else streams[:, 0])  # type: ignore[no-any-return]


def adjust(variant: Variant, options: dict[str, Any]) -> Variant:
    """The variant with some fields replaced; `UsageError` with the nearest names for an unknown field."""
    fields = {field.name for field in dataclasses.fields(variant)}
    for name in options:
        if name not in fields:
            raise UsageError(f"unknown model option {name!r}", expected=did_you_mean(name, fields))
    as_tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return dataclasses.replace(variant, **as_tuples)
