"""The TensorRT backend against a stand-in: batches, buffers, and an engine that is of another version or GPU.

The stand-ins are of `tensorrt` and `cuda.bindings.runtime`: device memory is the process's own, an engine halves.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from last_edge.errors import InputError, MissingError
from last_edge.runtime.backends import BACKENDS

TENSORRT = BACKENDS["tensorrt"]
SHAPE, MOST, CLASSES = (-1, 2, 3, 1), 2, 3


class FakeCuda:
    """Buffers by address; a copy counts the bytes it moves each way."""

    def __init__(self, *, devices: int = 1) -> None:
        self.devices, self.kept, self.moved = devices, [], {1: 0, 2: 0}

    def cudaGetDeviceCount(self) -> tuple[int, int]:  # noqa: N802
        return (0, self.devices) if self.devices else (100, 0)

    def cudaStreamCreate(self) -> tuple[int, int]:  # noqa: N802
        return 0, 7

    def cudaMalloc(self, size: int) -> tuple[int, int]:  # noqa: N802
        self.kept.append(ctypes.create_string_buffer(size))
        return 0, ctypes.addressof(self.kept[-1])

    cudaMallocHost = cudaMalloc  # noqa: N815

    def cudaMemcpyKind(self, kind: int) -> int:  # noqa: N802
        return kind

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802
        self.moved[kind] += size
        ctypes.memmove(to, source, size)
        return (0,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        return (0,)


class FakeContext:
    """Logits are half the first frame's points."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.batch = 0

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self.batch = shape[0]

    def execute_async_v3(self, stream: int) -> None:
        count = self.batch * 6
        source = np.ctypeslib.as_array((ctypes.c_float * count).from_address(self.addresses["landmarks"]))
        result = np.ctypeslib.as_array((ctypes.c_float * (self.batch * CLASSES)).from_address(self.addresses["logits"]))
        result[:] = (source.reshape(self.batch, 2, 3)[:, 0] / 2).ravel()


class FakeEngine:
    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return SHAPE if name == "landmarks" else (-1, CLASSES)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(size, *SHAPE[1:]) for size in (1, 1, MOST)]

    def create_execution_context(self) -> FakeContext:
        return FakeContext()


def install(monkeypatch: pytest.MonkeyPatch, *, devices: int = 1) -> FakeCuda:
    """Put both modules in place; an engine's bytes are b"plan", all others are of another version."""
    cuda = FakeCuda(devices=devices)
    runtime = lambda logger: SimpleNamespace(  # noqa: E731
        deserialize_cuda_engine=lambda plan: FakeEngine() if plan == b"plan" else None
    )
    logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
    modules = {
        "tensorrt": {"Logger": logger, "Runtime": runtime},
        "cuda": {"__path__": []},
        "cuda.bindings": {"__path__": []},
        "cuda.bindings.runtime": {name: getattr(cuda, name) for name in dir(cuda) if name.startswith("cuda")},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return cuda


def test_a_batch_larger_than_the_engines_goes_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = install(monkeypatch)
    (tmp_path / "x.engine").write_bytes(b"plan")
    backend = TENSORRT(tmp_path / "x.engine")
    points = np.arange(30, dtype=np.float32).reshape(5, 2, 3, 1)
    np.testing.assert_array_equal(backend(points), points[:, 0, :, 0] / 2)
    assert cuda.moved == {1: points.nbytes, 2: 5 * 3 * 4}, "only the rows of the batch are copied"
    np.testing.assert_array_equal(backend(points[:1]), points[:1, 0, :, 0] / 2)
    with pytest.raises(InputError, match="points do not fit"):
        backend(points[:, :1])


def test_an_engine_of_another_version_names_the_command_that_rebuilds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(MissingError, match="another TensorRT version or GPU") as caught:
        TENSORRT(b"of version 10")
    assert caught.value.hint == "last-edge engine BUNDLE --flavour tensorrt --force"


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, devices=0)
    assert TENSORRT.why_not() == "no NVIDIA GPU"
