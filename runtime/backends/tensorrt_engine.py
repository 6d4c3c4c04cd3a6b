"""TensorRT engines through the Python API: `tensorrt` (Jetson, data-centre cards) and `tensorrt_rtx` (RTX cards)."""

import importlib
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import MissingError
from last_edge.runtime.backends.base import Backend, Shape, check_shape, has_module, name_of

REBUILD = "last-edge engine BUNDLE --flavour {flavour} --force"
CUDA = "cuda.bindings"
ANY_RTX = "any RTX card"
TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind


class TensorRT(Backend):
    """A built engine with pinned host buffers for its largest batch; the engine's own types are its precision.

    `MissingError` with the command that builds it anew when the engine is of another TensorRT version or GPU.
    """

    name = "tensorrt"
    kind = "engine"
    package = module = "tensorrt"
    mend = "pip install 'last-edge[tensorrt]'"
    flavour: ClassVar[Literal["tensorrt", "tensorrt-rtx"]] = "tensorrt"

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        self.require()
        self._where = name_of(model)
        trt, self._cuda = importlib.import_module(self.module), _Cuda()
        self._logger = trt.Logger(trt.Logger.ERROR)
        plan = model.read_bytes() if isinstance(model, Path) else model
        self._engine = trt.Runtime(self._logger).deserialize_cuda_engine(plan)
        if self._engine is None:
            raise MissingError("the engine is of another TensorRT version or GPU", where=self._where,
                               expected=f"{self.package} {self.version()}",
                               hint=REBUILD.format(flavour=self.flavour))  # fmt: skip
        self._context = self._engine.create_execution_context()
        self.input_shape: Shape = tuple(
            None if size < 0 else size for size in self._engine.get_tensor_shape(INPUT_NAME)
        )
        largest = tuple(self._engine.get_tensor_profile_shape(INPUT_NAME, 0)[2])
        classes = int(self._engine.get_tensor_shape(OUTPUT_NAME)[-1])
        self._source, self._result = self._cuda.pair(largest), self._cuda.pair((largest[0], classes))
        self._context.set_tensor_address(INPUT_NAME, self._source.device)
        self._context.set_tensor_address(OUTPUT_NAME, self._result.device)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        check_shape(points.shape, self.input_shape, where=self._where)
        most = len(self._source.host)
        parts = [self._run(points[start : start + most]) for start in range(0, len(points), most)]
        return np.concatenate(parts)

    def _run(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        count = len(points)
        self._source.host[:count] = points
        self._context.set_input_shape(INPUT_NAME, points.shape)
        self._cuda.copy(self._source, count, TO_DEVICE)
        self._context.execute_async_v3(self._cuda.stream)
        self._cuda.copy(self._result, count, TO_HOST)
        self._cuda.wait()
        return self._result.host[:count].copy()

    @classmethod
    def why_not(cls) -> str:
        for module, package in ((cls.module, cls.package), (CUDA, "cuda-python")):
            if not has_module(module):
                return f"{package} is not installed"
        return "" if gpus() else "no NVIDIA GPU"

    @classmethod
    def runs_on(cls, gpu: str) -> bool:
        return gpu == gpu_name()


class TensorRTForRTX(TensorRT):
    """The same for engines of TensorRT for RTX, which are built without the card they run on."""

    name = flavour = "tensorrt-rtx"
    package, module = "tensorrt-rtx", "tensorrt_rtx"
    mend = "pip install cuda-python 'last-edge[tensorrt-rtx]'"

    @classmethod
    def runs_on(cls, gpu: str) -> bool:
        return gpu == ANY_RTX


def gpus() -> int:
    """How many CUDA devices the driver shows."""
    cuda = importlib.import_module(f"{CUDA}.runtime")
    error, count = cuda.cudaGetDeviceCount()
    return int(count) if int(error) == 0 else 0


def gpu_name() -> str:
    """The first CUDA device, as the driver calls it."""
    cuda = importlib.import_module(f"{CUDA}.runtime")
    error, properties = cuda.cudaGetDeviceProperties(0)
    if int(error) != 0:
        raise MissingError("no NVIDIA GPU", got=error, hint="nvidia-smi")
    name = properties.name
    return name.decode().rstrip("\0") if isinstance(name, bytes) else str(name)


class _Pair:
    """Pinned host memory as an array, and device memory of the same size."""

    def __init__(self, host: NDArray[np.float32], host_address: int, device: int) -> None:
        self.host, self.host_address, self.device = host, host_address, device


class _Cuda:
    """One stream, and the few calls of the CUDA runtime that feeding an engine takes."""

    def __init__(self) -> None:
        self._api = importlib.import_module(f"{CUDA}.runtime")
        self.stream = int(self._ask("cudaStreamCreate"))

    def pair(self, shape: tuple[int, ...]) -> _Pair:
        """float32 buffers of a shape on both sides."""
        import ctypes

        count = int(np.prod(shape))
        host, device = int(self._ask("cudaMallocHost", 4 * count)), int(self._ask("cudaMalloc", 4 * count))
        memory = (ctypes.c_float * count).from_address(host)
        return _Pair(np.ctypeslib.as_array(memory).reshape(shape), host, device)

    def copy(self, pair: _Pair, rows: int, kind: int) -> None:
        """Copy the first rows one way or the other, in the stream."""
        ends = (pair.device, pair.host_address) if kind == TO_DEVICE else (pair.host_address, pair.device)
        kind_of = self._api.cudaMemcpyKind(kind)
        self._ask("cudaMemcpyAsync", *ends, pair.host[:rows].nbytes, kind_of, self.stream)

    def wait(self) -> None:
        """Until the stream is done."""
        self._ask("cudaStreamSynchronize", self.stream)

    def _ask(self, name: str, *arguments: Any) -> Any:
        """Call the CUDA runtime; `MissingError` when it says no."""
        error, *answer = getattr(self._api, name)(*arguments)
        if int(error) != 0:
            raise MissingError(f"CUDA: {name} failed", got=error, hint="nvidia-smi")
        return answer[0] if answer else None
