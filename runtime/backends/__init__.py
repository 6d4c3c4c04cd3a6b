"""What runs an exported model on the device. One file a backend; `BACKENDS` is the table of them."""

from last_edge.runtime.backends.base import Backend
from last_edge.runtime.backends.litert import LiteRT
from last_edge.runtime.backends.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeCuda, OnnxRuntimeTensorRT
from last_edge.runtime.backends.openvino_cpu import OpenVinoCpu
from last_edge.runtime.backends.tensorrt_engine import TensorRT, TensorRTForRTX

ALL: tuple[type[Backend], ...] = (
    OnnxRuntimeCpu, OnnxRuntimeCuda, OnnxRuntimeTensorRT, OpenVinoCpu, LiteRT, TensorRT, TensorRTForRTX,
)  # fmt: skip
BACKENDS: dict[str, type[Backend]] = {backend.name: backend for backend in ALL}

__all__ = ["BACKENDS", "Backend", "OnnxRuntimeCpu"]
