"""A run folder and a bundle small enough to make in every test; the command line, asked for what a text names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from last_edge.bundle import Golden, Manifest, ModelInfo, write_bundle
from last_edge.inputs import InputSpec
from last_edge.skeleton import get_layout
from last_edge.tools.cli import application

LABELS = ("left", "up", "away")
MakeBundle = Callable[..., Path]
MakeRun = Callable[..., Path]


def mean_graph(spec: InputSpec, *, gain: float) -> bytes:
    """ONNX: logits = gain * mean of the points over time and joints, NaN read as 0."""
    from onnx import TensorProto, helper, numpy_helper

    values = {
        "zero": np.zeros(1, np.float32),
        "gain": np.array([gain], np.float32),
        "axes": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("IsNaN", ["landmarks"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "landmarks"], ["points"]),
        helper.make_node("ReduceMean", ["points", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["logits"]),
    ]
    door = helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["N", *spec.shape])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(LABELS)])
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "mean", [door], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """`make_bundle(name, metrics={precision: {...}}, **fields of the manifest)` -> its path."""

    def make(name: str = "bundle", *, metrics: dict[str, Any] | None = None, **fields: Any) -> Path:
        spec = InputSpec(layout=get_layout("shrec22"), frames=8)
        points = np.random.default_rng(0).normal(size=(2, *spec.shape)).astype(np.float32)
        logits = {precision: points.mean((1, 2)) for precision in ("fp32", "int8")}
        manifest = Manifest(
            "tiny",
            ModelInfo("tiny_model", {}, 321),
            {},
            spec,
            "metres",
            "y up",
            LABELS,
            metrics=metrics or {},
            **fields,
        )
        graphs = {f"model.{key}.onnx": mean_graph(spec, gain=gain) for key, gain in (("fp32", 1.0), ("int8", 1.5))}
        files = {**graphs, "golden.npz": Golden({"landmarks": points}, logits).to_bytes(), "card.md": b"tiny\n"}
        write_bundle(tmp_path / name, manifest, files=files)
        return tmp_path / name

    return make


def test_metrics(*, top1: float = 75.0) -> dict[str, Any]:
    """What an evaluation writes."""
    return {
        "top1": top1, "top3": 100.0, "top5": 100.0, "n": 4, "mean_class": 66.67, "ece": 4.2,
        "per_class": {"left": 100.0, "up": 50.0}, "per_subject": {"anna": 50.0, "ben": 100.0},
        "confusion": [[2, 0, 0], [1, 1, 0], [0, 0, 0]], "labels": list(LABELS),
    }  # fmt: skip


test_metrics.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run(name, finished=True, **fields of final.json)` -> its path, with three epochs of history."""

    def make(name: str = "teacher", *, finished: bool = True, **final: Any) -> Path:
        folder = tmp_path / name
        best = folder / "checkpoints" / "epoch-0003"
        best.mkdir(parents=True)
        rows = [
            {"epoch": e, "lr": 0.1, "loss": 2.0 / e, "train_top1": 20.0 * e, "val_top1": 18.0 * e} for e in (1, 2, 3)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "recipe.yaml").write_text("seed: 42\nmodel:\n  name: last_e_nano\n")
        pointer = {"best": best.name, "last": best.name, "finished": finished, "schema_version": 1}
        (folder / "run.json").write_text(json.dumps(pointer))
        (best / "model.safetensors").write_bytes(b"x" * 1000)
        (best / "env.json").write_text(json.dumps({"processor": "a processor", "packages": {"torch": "2.13.0"}}))
        content = {"model": "last_e_nano", "params": 82847, "seed": 42, "test": test_metrics(), **final}
        if finished:
            (folder / "final.json").write_text(json.dumps(content))
        return folder

    return make


class Commands:
    """The command line, asked for what a text names."""

    def __init__(self) -> None:
        self.root: Any = typer.main.get_command(application())

    def below(self, command: Any) -> dict[str, Any]:
        """The commands of a group by name."""
        names = command.list_commands(None) if hasattr(command, "list_commands") else []
        return {name: command.get_command(None, name) for name in names}

    def options(self, command: Any) -> set[str]:
        """All options of a command and of those below it."""
        own = {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}
        return own.union({"--help"}, *(self.options(child) for child in self.below(command).values()))

    def named(self, words: list[str]) -> Any:
        """The command that words begin with; `LookupError` where a word names none.

        A placeholder (NAME, X, {name}) stands for any, and a group with a command of its own takes any word.
        """
        command = self.root
        for word in words:
            children = self.below(command)
            bare = word.strip("`'\",.;:)")
            if bare in children:
                command = children[bare]
            elif not children or bare[:1].isupper() or bare.startswith(("-", "{", "...", "…")) or "default" in children:
                break
            else:
                raise LookupError(bare)
        return command


@pytest.fixture(scope="session")
def commands() -> Commands:
    return Commands()
