"""Activations by name, so that a checkpoint can say which one it was trained with."""

from __future__ import annotations

from torch import nn

from last_edge.errors import UsageError
from last_edge.names import did_you_mean

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hardswish": nn.Hardswish}


def activation(name: str) -> nn.Module:
    """A fresh activation module; `UsageError` with the nearest names when unknown."""
    if name not in ACTIVATIONS:
        raise UsageError(f"unknown activation {name!r}", expected=did_you_mean(name, ACTIVATIONS))
    return ACTIVATIONS[name]()
