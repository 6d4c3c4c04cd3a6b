"""What runs an exported model on the device. One file a backend; `BACKENDS` is the table of them."""

from __future__ import annotations

from last_edge.runtime.backends.base import Backend
from last_edge.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu

BACKENDS: dict[str, type[Backend]] = {OnnxRuntimeCpu.name: OnnxRuntimeCpu}

__all__ = ["BACKENDS", "Backend", "OnnxRuntimeCpu"]
