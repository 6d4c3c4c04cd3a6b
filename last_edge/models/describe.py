"""Counting parameters and floating-point operations of the registered models."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from last_edge.inputs.spec import InputSpec
from last_edge.models.front import LandmarkFront
from last_edge.models.landmark_model import Body, LandmarkModel
from last_edge.models.registry import create_model, create_streamer, model_names, streamer_names
from last_edge.models.sign2text import create_translator, translator_names
from last_edge.skeleton.layout import load_layout

FRAMES = 64
STATED_BODIES = 2
SUB_WORDS = 4000
"""Of a translator, as recipes have it unless they say otherwise."""
CLASS, SENTENCE, STREAM = "a class", "a sentence", "a class a frame"


def describe_models(*, layout: str, classes: int) -> list[dict[str, Any]]:
    """One row a model, at 64 frames. Nothing is computed: models are built without memory for their weights."""
    spec = InputSpec(load_layout(layout), frames=FRAMES)
    with torch.device("meta"):
        recognisers = [_describe_at_stated_bodies(name, spec, classes) for name in model_names()]
        translators = [describe_translator(name, spec) for name in translator_names()]
        return [*recognisers, *(describe_streamer(name, spec, classes) for name in streamer_names()), *translators]


def _describe_at_stated_bodies(name: str, spec: InputSpec, classes: int) -> dict[str, Any]:
    model = create_model(name, spec=spec, classes=classes)
    if isinstance(model.body, Body) and model.body.reads_all_bodies:
        model.front = LandmarkFront(dataclasses.replace(spec, bodies=STATED_BODIES))
    return describe(name, model)


def describe(name: str, model: LandmarkModel) -> dict[str, Any]:
    """What a table of models says of one.

    params: trained; inference_params: left once trained. gflops: billions of operations of one clip, a multiply-add
    as two, one body, or two where the model reads all bodies; flops: the same, exactly. receptive_field: see `Body`.
    streamable: frame by frame. gives: a class of a clip or of each frame, or the words of a sentence.
    """
    body = model.body if isinstance(model.body, Body) else Body()
    params = count(model)
    return {
        "name": name,
        "params": params,
        "inference_params": params - sum(count(module) for module in body.training_only()),
        **_operations(model, model.example()),
        "receptive_field": body.receptive_field(),
        "streamable": body.streamable,
        "gives": CLASS,
    }


def describe_translator(name: str, spec: InputSpec) -> dict[str, Any]:
    """As `describe`, of a translator of `SUB_WORDS`; gflops: of one clip and the longest sentence that it can write."""
    model = create_translator(name, spec=spec, tokens=SUB_WORDS)
    clip = torch.zeros(1, spec.frames, spec.layout.joints, spec.channels)
    sentence = torch.zeros(1, model.options.longest, dtype=torch.long)
    return {
        "name": name,
        "params": count(model),
        "inference_params": count(model),
        **_operations(model, (clip, sentence)),
        "receptive_field": None,
        "streamable": False,
        "gives": SENTENCE,
    }


def describe_streamer(name: str, spec: InputSpec, classes: int) -> dict[str, Any]:
    """As `describe`, of a model that answers at every frame; gflops: of as many frames as a clip's window has."""
    kept = dataclasses.replace(spec, centre="frame", resample="pad")
    model = create_streamer(name, spec=kept, classes=classes)
    clip = torch.zeros(1, spec.frames, spec.layout.joints, spec.channels)
    return {
        "name": name,
        "params": count(model),
        "inference_params": count(model),
        **_operations(model, (clip,)),
        "receptive_field": model.receptive_field,
        "streamable": True,
        "gives": STREAM,
    }


def count(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def _operations(model: nn.Module, example: tuple[Tensor, ...]) -> dict[str, Any]:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(*example)
    total = counter.get_total_flops()
    return {"gflops": round(total / 1e9, 4), "flops": total}
