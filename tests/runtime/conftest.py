"""A bundle small enough to make in every test: its logits are known functions of the points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from last_edge.bundle import Golden, Manifest, ModelInfo, write_bundle
from last_edge.inputs import InputSpec
from last_edge.skeleton import get_layout

LABELS = ("left", "middle", "right")
MakeBundle = Callable[..., Path]


def tiny_graph(spec: InputSpec, *, gain: float = 40.0) -> bytes:
    """ONNX: logits = gain * (-x, 0, x), x being how far the points' mean moves from the first half to the second."""
    from onnx import TensorProto, helper

    half = spec.frames // 2
    step = np.concatenate([np.full(half, -1 / half), np.full(spec.frames - half, 1 / (spec.frames - half))])
    constants: dict[str, NDArray[Any]] = {
        "zero": np.zeros(1, np.float32),
        "step": (gain * step[:, None]).astype(np.float32),
        "signs": np.array([[-1.0, 0.0, 1.0]], np.float32),
        "x_axis": np.array(0, np.int64),
        "joints": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("IsNaN", ["landmarks"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "landmarks"], ["points"]),
        helper.make_node("Gather", ["points", "x_axis"], ["x"], axis=3),
        helper.make_node("ReduceMean", ["x", "joints"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "step"], ["move"]),
        helper.make_node("MatMul", ["move", "signs"], ["logits"]),
    ]
    door = helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["N", *spec.shape])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(LABELS)])
    initialisers = [_tensor(name, value) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [door], [out], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def _tensor(name: str, value: NDArray[Any]) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(value, name)


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Write a bundle of the tiny graph: `make_bundle(layout=..., units=..., frames=..., accept=...)`."""

    def make(
        *, layout: str = "mediapipe_hand21", units: str = "image01", frames: int = 16, accept: float = 0.6
    ) -> Path:
        spec = InputSpec(layout=get_layout(layout), frames=frames)
        points = np.zeros((1, *spec.shape), np.float32)
        golden = Golden(points, {"fp32": np.zeros((1, len(LABELS)), np.float32)})
        manifest = Manifest(
            name="tiny",
            model=ModelInfo("tiny", {}, 0),
            files={},
            input=spec,
            units=units,
            axes="x right, y down" if units == "image01" else "x to the person's right, y up",
            labels=LABELS,
            thresholds={"accept": accept},
        )
        files = {"model.fp32.onnx": tiny_graph(spec), "golden.npz": golden.to_bytes(), "card.md": b"tiny\n"}
        path = tmp_path / "tiny"
        write_bundle(path, manifest, files=files)
        return path

    return make
