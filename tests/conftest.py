"""Shared fixtures: a small layout, a store of toy motions learnt in seconds, a bundle of known functions."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest
from numpy.typing import NDArray

from last_edge.bundle import Golden, Manifest, ModelInfo, write_bundle
from last_edge.clips.writer import writing_store
from last_edge.inputs import InputSpec
from last_edge.skeleton import Layout, SkeletonClip, get_layout
from last_edge.tools.cli.doctor import VARIABLE, find_data

TOY = Layout(
    name="toy5",
    names=("root", "left", "right", "left_tip", "right_tip"),
    parents=(0, 0, 0, 1, 2),
    pairs=((1, 2), (3, 4)),
    centre=(0,),
    scale=((0,), (1,)),
)
LABELS = ("raise", "lower", "wave")
REST = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [2, 0, 0], [-2, 0, 0]], np.float32)


def toy_points(label: int, random: np.random.Generator) -> np.ndarray:
    """(1, T, 5, 3) of one of three motions of the left arm, with noise, a place and a size of its own."""
    frames = int(random.integers(12, 30))
    time = np.linspace(0, 1, frames)
    lift = {0: time, 1: -time, 2: np.sin(6 * np.pi * time)}[label]
    points = np.tile(REST, (frames, 1, 1))
    points[:, 3, 1] += lift
    points[:, 1, 1] += lift / 2
    points = points * random.uniform(0.8, 1.2) + random.normal(0, 1, 3) + random.normal(0, 0.05, points.shape)
    return points[None].astype(np.float32)


@pytest.fixture(scope="session")
def toy_layout() -> Layout:
    """Five joints: a root and two arms."""
    return TOY


@pytest.fixture(scope="session")
def toy_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 clips, 3 classes, 6 subjects; subjects 5 and 6 are the test split."""
    path = tmp_path_factory.mktemp("stores") / "toy"
    random = np.random.default_rng(7)
    with writing_store(path, layout=TOY, units="metres", labels=LABELS, about={}, force=False) as writer:
        for number in range(72):
            subject, label = number % 6 + 1, number // 6 % 3
            clip = SkeletonClip.from_points(
                toy_points(label, random),
                layout=TOY,
                fps=30,
                units="metres",
                label=LABELS[label],
                subject=str(subject),
                source_id=f"clip{number:03d}",
                split="test" if subject > 4 else "train",
            )
            writer.add(clip)
    return path


@pytest.fixture(scope="session")
def ntu25() -> Layout:
    """The 25 joints of NTU RGB+D, the layout all published counts refer to."""
    return get_layout("ntu25")


TINY_LABELS = ("left", "middle", "right")
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
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(TINY_LABELS)])
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
        golden = Golden({"landmarks": points}, {"fp32": np.zeros((1, len(TINY_LABELS)), np.float32)})
        manifest = Manifest(
            name="tiny",
            model=ModelInfo("tiny", {}, 0),
            files={},
            input=spec,
            units=units,
            axes="x right, y down" if units == "image01" else "x to the person's right, y up",
            labels=TINY_LABELS,
            thresholds={"accept": accept},
        )
        files = {"model.fp32.onnx": tiny_graph(spec), "golden.npz": golden.to_bytes(), "card.md": b"tiny\n"}
        path = tmp_path / "tiny"
        write_bundle(path, manifest, files=files)
        return path

    return make


@pytest.fixture
def real() -> Callable[[str], Path]:
    """`real("shrec17")` is the place of a dataset; the test is skipped when it is not on this machine."""

    def find(name: str) -> Path:
        path = find_data(name)
        if path is None:
            pytest.skip(f"real data {name!r} not found: put it under data/ or set {VARIABLE}")
        return path

    return find


@pytest.fixture
def hold() -> Callable[[Path], AbstractContextManager[None]]:
    """`with hold(path)`: the lock of an output is another's."""

    @contextmanager
    def held(path: Path) -> Iterator[None]:
        lock = path.with_name(f".{path.name}.lock")
        with lock.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
        lock.unlink()

    return held


@pytest.fixture
def stop_after() -> Callable[[Any, int], Any]:
    """A stop that is wanted once a run has taken so many steps, as a signal would ask for it."""
    from last_edge.train.run import StopRequest

    def arm(run: Any, step: int) -> StopRequest:
        stop, original = StopRequest(), run.trainer.step

        def step_then_stop(*batch: Any) -> None:
            original(*batch)
            stop.wanted = stop.wanted or run.trainer.progress.step == step

        run.trainer.step = step_then_stop
        return stop

    return arm
