"""LAST-E v3, the students: spatial graph convolution, separable temporal convolution, motion gate, joint attention."""

from __future__ import annotations

from typing import Any

from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_body import Options, build
from last_edge.models.registry import register_model


@register_model
def last_e_nano(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """82,847 parameters at 25 joints and 60 classes."""
    variant = Options(stem=24, widths=(32, 48, 64), blocks=(1, 1, 1), max_hop=1, dropout=0.2)
    return build(spec, classes, variant, options)


@register_model
def last_e_small(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """344,727 parameters at 25 joints and 60 classes."""
    variant = Options(stem=32, widths=(48, 64, 96), blocks=(1, 2, 2), max_hop=2, dropout=0.25, subset_attention=True)
    return build(spec, classes, variant, options)


@register_model
def last_e_base(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """720,028 parameters at 25 joints and 60 classes, 687,004 once trained."""
    variant = Options(
        stem=48,
        widths=(64, 96, 128),
        blocks=(2, 2, 2),
        max_hop=2,
        dropout=0.3,
        drop_path_rate=0.05,
        subset_attention=True,
        ib="norm",
    )
    return build(spec, classes, variant, options)


@register_model
def last_e_large(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """1,080,668 parameters at 25 joints and 60 classes, 1,039,452 once trained; its last stage reads the spectrum."""
    variant = Options(
        stem=48,
        widths=(80, 112, 160),
        blocks=(2, 2, 2),
        max_hop=2,
        dropout=0.3,
        drop_path_rate=0.1,
        subset_attention=True,
        hybrid_gate=(False, False, True),
        ib="norm",
    )
    return build(spec, classes, variant, options)
