"""Counting parameters and floating-point operations of the registered models."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.registry import create_model, model_names
from last_edge.skeleton.layout import load_layout

FRAMES = 64


def describe_models(*, layout: str, classes: int) -> list[dict[str, Any]]:
    """One row a model; `gflops` counts a multiply-add as two, one body, 64 frames."""
    spec = InputSpec(load_layout(layout), frames=FRAMES)
    return [describe(name, create_model(name, spec=spec, classes=classes)) for name in model_names()]


def describe(name: str, model: LandmarkModel) -> dict[str, Any]:
    """Name, trained and deployed parameters, GFLOPs, and whether the model can run frame by frame."""
    params = sum(parameter.numel() for parameter in model.parameters())
    return {"name": name, "params": params, "inference_params": params, "gflops": gflops(model), "streamable": False}


def gflops(model: LandmarkModel) -> float:
    """Billions of floating-point operations of one clip, counted by torch."""
    points = torch.zeros(1, *model.spec.shape)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(points)
    return float(round(counter.get_total_flops() / 1e9, 4))
