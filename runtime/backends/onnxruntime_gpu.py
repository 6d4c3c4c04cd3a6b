"""ONNX Runtime on an NVIDIA GPU: the CUDA and the TensorRT execution provider of onnxruntime-gpu."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import MissingError
from last_edge.runtime.backends.base import Backend, check_shape, has_module, told
from last_edge.runtime.backends.onnxruntime_session import OrtOptions, Provider, caller, create_session, door
from last_edge.runtime.cache import cache_folder


class _OnGpu(Backend):
    """A session whose first provider is `provider`; it never falls back to the processor unsaid."""

    module = "onnxruntime"
    package = "onnxruntime-gpu"
    mend = "pip uninstall onnxruntime && pip install onnxruntime-gpu"
    provider: ClassVar[str]

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        self.require()
        self._where = told(model)
        self._session = create_session(
            model, threads=threads, options=OrtOptions(), providers=self._providers(), where=self._where
        )
        if self.provider not in self._session.get_providers():
            raise MissingError(f"{self.provider} could not start", where=self._where, hint="nvidia-smi")
        self.input_shape = door(self._session, where=self._where)
        self._call = caller(self._session, "bound")

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        check_shape(points.shape, self.input_shape, where=self._where)
        return self._call(np.ascontiguousarray(points, np.float32))

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @classmethod
    def why_not(cls) -> str:
        if not has_module(cls.module):
            return f"{cls.package} is not installed"
        import onnxruntime

        have = onnxruntime.get_available_providers()
        return "" if cls.provider in have else f"this ONNX Runtime has no {cls.provider}: {cls.package} brings it"

    @classmethod
    def _providers(cls) -> list[Provider]:
        return [cls.provider, "CPUExecutionProvider"]


class OnnxRuntimeCuda(_OnGpu):
    """The CUDA provider, without TF32: FP32 files stay FP32."""

    name = "onnxruntime-cuda"
    provider = "CUDAExecutionProvider"

    @classmethod
    def _providers(cls) -> list[Provider]:
        return [(cls.provider, {"use_tf32": "0"}), "CPUExecutionProvider"]


class OnnxRuntimeTensorRT(_OnGpu):
    """The TensorRT provider; engines and timings are kept, so that only the first load of a graph builds."""

    name = "onnxruntime-tensorrt"
    provider = "TensorrtExecutionProvider"

    @classmethod
    def _providers(cls) -> list[Provider]:
        folder = cache_folder() / "engines"
        folder.mkdir(parents=True, exist_ok=True)
        kept = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
        return [(cls.provider, kept), "CUDAExecutionProvider", "CPUExecutionProvider"]
