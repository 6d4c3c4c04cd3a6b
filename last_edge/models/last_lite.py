"""LAST-Lite, the deployable students: LAST-E without input-dependent parts, so that all of it folds and quantises."""

from __future__ import annotations

from typing import Any

from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_body import Options, build
from last_edge.models.registry import register_model


def lite(*, stem: int, widths: tuple[int, ...], blocks: tuple[int, ...], max_hop: int, dropout: float) -> Options:
    """A variant with constant graph, no gates, no attention; ReLU because it quantises."""
    return Options(
        stem=stem,
        widths=widths,
        blocks=blocks,
        max_hop=max_hop,
        dropout=dropout,
        use_st_att=(False, False, False),
        motion_gate=False,
        learn_edges=False,
        act="relu",
    )


@register_model
def last_lite_nano(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """65,654 parameters at 60 classes."""
    variant = lite(stem=24, widths=(32, 48, 64), blocks=(1, 1, 1), max_hop=1, dropout=0.1)
    return build(spec, classes, variant, options)


@register_model
def last_lite_small(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """297,934 parameters at 60 classes."""
    variant = lite(stem=32, widths=(48, 72, 96), blocks=(1, 2, 2), max_hop=2, dropout=0.15)
    return build(spec, classes, variant, options)


@register_model
def last_lite_trim(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """187,614 parameters at 60 classes: narrower and one hop."""
    variant = lite(stem=32, widths=(48, 64, 80), blocks=(1, 2, 2), max_hop=1, dropout=0.15)
    return build(spec, classes, variant, options)
