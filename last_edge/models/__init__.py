"""Models by name: `create_model("last_e_nano", spec=spec, classes=14)`."""

from last_edge.models import (
    hybrid_nslt,
    last_body,
    last_lite_stream,
    last_v2,
    point_kernel,
    pose_transformer,
    sign2text,
)
from last_edge.models.registry import create_model, model_names, resolve_name

__all__ = [
    "create_model", "hybrid_nslt", "last_body", "last_lite_stream", "last_v2", "model_names",
    "point_kernel", "pose_transformer", "resolve_name", "sign2text",
]  # fmt: skip
