"""ONNX Runtime: on the processor, the backend that every machine has, and on NVIDIA GPUs by CUDA or TensorRT."""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import InputError, MissingError
from last_edge.files import cache_folder
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.runtime.backends.base import Backend, Shape, check_shape, has_module, limited_memory, name_of

Points = NDArray[np.float32]
Buffers = Literal["call", "bound", "reused"]
Provider = str | tuple[str, dict[str, str]]
CPU_PROVIDER = "CPUExecutionProvider"
LONGEST_RUN_S = 10.0


@dataclass(frozen=True)
class OrtOptions:
    """How a session runs; none of it changes what it computes.

    spin: threads wait by spinning between calls; faster alone on a machine, ruinous beside others. arena: memory of
    tensors is kept from call to call. buffers: `call` hands arrays over with every call, `bound` binds them to the
    session first, `reused` copies into buffers bound once a batch size.
    """

    spin: bool = False
    arena: bool = True
    buffers: Buffers = "call"


def create_session(
    model: Path | bytes, *, threads: int, options: OrtOptions, providers: Sequence[Provider], where: str
) -> Any:
    """An `InferenceSession`; `InputError` when ONNX Runtime cannot load the model."""
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.inter_op_num_threads = threads, 1
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spin else "0")
    chosen.enable_cpu_mem_arena = options.arena
    chosen.log_severity_level = 3
    content = str(model) if isinstance(model, Path) else model
    try:
        with limited_memory() if list(providers) == [CPU_PROVIDER] else nullcontext():
            return onnxruntime.InferenceSession(content, chosen, providers=list(providers))
    except Exception as error:  # ONNX Runtime's own exceptions share no base class but this one
        raise InputError(
            "not a model that ONNX Runtime can load", where=where, got=str(error).split("\n")[0]
        ) from error


class LimitedSession:
    """A session for the first run of a graph that somebody else made.

    `InputError` where it fails, does not end, or asks for gigabytes.
    """

    def __init__(self, session: Any, *, where: str) -> None:
        self._session, self._where = session, where

    def run(self, outputs: list[str], feed: dict[str, Any]) -> Any:
        """As the session's own; ONNX Runtime looks between two nodes, in loops too, whether the time is over."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        timer = threading.Timer(LONGEST_RUN_S, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            with limited_memory():
                return self._session.run(outputs, feed, options)
        except Exception as error:  # ONNX Runtime's own exceptions share no base class but this one
            if options.terminate:
                expected = f"an answer within {LONGEST_RUN_S:g} s"
                raise InputError("the graph does not come to an end", where=self._where, expected=expected) from error
            raise InputError("the graph does not run", where=self._where, got=str(error).split("\n")[0]) from error
        finally:
            timer.cancel()


def landmark_shape(session: Any, *, where: str) -> Shape:
    """Shape of the one input `landmarks`, None for a free axis; `InputError` when the names are others."""
    inputs, outputs = ([node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs()))
    if inputs != [INPUT_NAME] or OUTPUT_NAME not in outputs:
        raise InputError(
            "the model has other inputs or outputs",
            where=where,
            expected=f"{INPUT_NAME} → {OUTPUT_NAME}",
            got=(inputs, outputs),
        )
    return tuple(size if isinstance(size, int) else None for size in session.get_inputs()[0].shape)


def input_shapes_of(session: Any, *, where: str) -> dict[str, Shape]:
    """As `landmark_shape`, of a graph that may have a second input: shapes by name, `landmarks` first."""
    inputs = {node.name: tuple(n if isinstance(n, int) else None for n in node.shape) for node in session.get_inputs()}
    if len(inputs) != 2 or next(iter(inputs)) != INPUT_NAME:
        return {INPUT_NAME: landmark_shape(session, where=where)}
    return inputs


def caller(session: Any, buffers: Buffers) -> Callable[[Points], Points]:
    """A function from contiguous points (N, T, V, C) to logits (N, K)."""
    if buffers == "call":
        return lambda points: np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: points})[0], np.float32)
    return _Bound(session) if buffers == "bound" else _Reused(session)


class _Bound:
    """Binds the caller's array; the runtime allots the output."""

    def __init__(self, session: Any) -> None:
        self._session, self._binding = session, session.io_binding()

    def __call__(self, points: Points) -> Points:
        self._binding.bind_cpu_input(INPUT_NAME, points)
        self._binding.bind_output(OUTPUT_NAME, "cpu")
        self._session.run_with_iobinding(self._binding)
        return np.asarray(self._binding.copy_outputs_to_cpu()[0], np.float32)


class _Reused:
    """Input and output memory is allotted and bound once for each batch size."""

    def __init__(self, session: Any) -> None:
        self._session = session
        shape = next(node for node in session.get_outputs() if node.name == OUTPUT_NAME).shape
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise InputError("the graph does not say how many logits it gives", expected="(N, K)", got=shape)
        self._classes = shape[1]
        self._bound: dict[int, tuple[Any, Points, Points]] = {}

    def __call__(self, points: Points) -> Points:
        binding, source, result = self._bound.get(len(points)) or self._bind(points)
        np.copyto(source, points)
        self._session.run_with_iobinding(binding)
        return result.copy()

    def _bind(self, points: Points) -> tuple[Any, Points, Points]:
        from onnxruntime import OrtValue

        source, result = np.empty_like(points), np.empty((len(points), self._classes), np.float32)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(INPUT_NAME, OrtValue.ortvalue_from_numpy(source))
        binding.bind_ortvalue_output(OUTPUT_NAME, OrtValue.ortvalue_from_numpy(result))
        return self._bound.setdefault(len(points), (binding, source, result))


class _OnnxRuntime(Backend):
    """One session of one provider; it never falls back to another unsaid.

    `__call__` raises `InputError` when the points do not have the graph's shape.
    """

    module = "onnxruntime"
    provider: ClassVar[str]
    usual: ClassVar[OrtOptions]

    def __init__(self, model: Path | bytes, *, threads: int = 1, options: OrtOptions | None = None) -> None:
        self.require()
        options, self._where = options or self.usual, name_of(model)
        self._session = create_session(
            model, threads=threads, options=options, providers=self.providers(), where=self._where
        )
        if self.provider not in self._session.get_providers():
            raise MissingError(f"{self.provider} could not start", where=self._where, hint="nvidia-smi")
        self.input_shapes = input_shapes_of(self._session, where=self._where)
        self.input_shape = self.input_shapes[LANDMARKS]
        self._call = caller(self._session, options.buffers)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(self.input_shapes) > 1:
            return self.run({LANDMARKS: points})
        check_shape(points.shape, self.input_shape, where=self._where)
        return self._call(np.ascontiguousarray(points, np.float32))

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        if len(self.input_shapes) == 1:
            return super().run(inputs)
        if list(inputs) != list(self.input_shapes):
            expected, hint = " and ".join(self.input_shapes), "a clip store with these features beside it"
            raise InputError("the model reads more than landmarks", where=self._where, expected=expected, hint=hint)
        return np.asarray(self._session.run([OUTPUT_NAME], self._feed(inputs))[0], np.float32)

    def _feed(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        for name, shape in self.input_shapes.items():
            check_shape(inputs[name].shape, shape, where=f"{self._where} › {name}")
        return {name: np.ascontiguousarray(array, np.float32) for name, array in inputs.items()}

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @classmethod
    def providers(cls) -> list[Provider]:
        """In the order of preference."""
        return [cls.provider]


class OnnxRuntimeCpu(_OnnxRuntime):
    """On the processor: a fixed number of threads that sleep, not spin, between calls unless the options say so."""

    name = "onnxruntime-cpu"
    package = "onnxruntime"
    mend = "pip install 'last-edge[runtime]'"
    provider = CPU_PROVIDER
    usual = OrtOptions()

    def first_run(self, inputs: Inputs) -> NDArray[np.float32]:
        if list(inputs) != list(self.input_shapes):
            return self.run(inputs)
        (logits,) = LimitedSession(self._session, where=self._where).run([OUTPUT_NAME], self._feed(inputs))
        if not isinstance(logits, np.ndarray) or logits.dtype.kind != "f":
            raise InputError("the graph gives no numbers", where=self._where, got=type(logits).__name__)
        return logits.astype(np.float32, copy=False)


class _OnGpu(_OnnxRuntime):
    """On an NVIDIA GPU, with arrays bound to the session."""

    package = "onnxruntime-gpu"
    mend = "pip uninstall onnxruntime && pip install onnxruntime-gpu"
    usual = OrtOptions(buffers="bound")

    @classmethod
    def why_not(cls) -> str:
        if not has_module(cls.module):
            return f"{cls.package} is not installed"
        import onnxruntime

        have = onnxruntime.get_available_providers()
        return "" if cls.provider in have else f"this ONNX Runtime has no {cls.provider}: {cls.package} brings it"


class OnnxRuntimeCuda(_OnGpu):
    """The CUDA provider, without TF32: FP32 files stay FP32."""

    name = "onnxruntime-cuda"
    provider = "CUDAExecutionProvider"

    @classmethod
    def providers(cls) -> list[Provider]:
        return [(cls.provider, {"use_tf32": "0"}), CPU_PROVIDER]


class OnnxRuntimeTensorRT(_OnGpu):
    """The TensorRT provider; engines and timings are kept, so that only the first load of a graph builds."""

    name = "onnxruntime-tensorrt"
    provider = "TensorrtExecutionProvider"

    @classmethod
    def providers(cls) -> list[Provider]:
        folder = cache_folder() / "engines"
        folder.mkdir(parents=True, exist_ok=True)
        kept = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
        return [(cls.provider, kept), "CUDAExecutionProvider", CPU_PROVIDER]
