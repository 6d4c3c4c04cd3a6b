"""Every backend against one reference: a sound bundle passes, a graph that was broken on purpose does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from last_edge.bundle import Bundle, Golden, write_bundle
from last_edge.bundle.manifest import GOLDEN, model_file
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, InputError, MissingError, UsageError
from last_edge.export.proof.evaluate import evaluate_bundle
from last_edge.export.proof.layers import Side, compare_layers, read_sides, require_equal
from last_edge.export.proof.parity import Reference, check_cells, fault, parity_matrix
from last_edge.runtime.backends import BACKENDS, OpenVinoCpu
from last_edge.tools.cli import main

ZOO = Path(__file__).parents[3] / "zoo" / "last_lite_nano_shrec14"
Break = Callable[[onnx.ModelProto], None]
needs_openvino = pytest.mark.skipif(not OpenVinoCpu.is_available(), reason=OpenVinoCpu.why_not())


def constant(proto: onnx.ModelProto) -> None:
    """The classifier says the same of everything."""
    (head,) = (node for node in proto.graph.node if node.op_type == "Gemm")
    for value in proto.graph.initializer:
        if value.name == head.input[1]:
            value.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(value)), value.name))


def swapped_joints(proto: onnx.ModelProto) -> None:
    """Two joints have exchanged their parents."""
    gathers = [node for node in proto.graph.node if node.op_type == "Gather"]
    names = {node.input[1] for node in gathers}
    for value in proto.graph.initializer:
        indices = numpy_helper.to_array(value).copy()
        if value.name in names and len(indices) == 22:
            indices[[5, 9]] = indices[[9, 5]]
            value.CopyFrom(numpy_helper.from_array(indices, value.name))


def wrong_stride(proto: onnx.ModelProto) -> None:
    """The first block that halves time no longer does."""
    strided = [a for node in proto.graph.node for a in node.attribute if a.name == "strides" and list(a.ints) == [2, 1]]
    for attribute in strided[:3]:
        attribute.ints[:] = [1, 1]


def broken(path: Path, how: Break, *, precision: str = "fp32", golden: bool = False) -> Path:
    """A bundle whose graph was changed, hashes in order; with `golden` its golden logits are made of the wrong file."""
    bundle = Bundle.open(ZOO)
    proto = onnx.load_from_string(bundle.graph(precision))
    how(proto)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    graph = proto.SerializeToString()
    files[model_file(precision)] = graph
    if golden:
        wrong = BACKENDS["onnxruntime-cpu"](graph)(bundle.golden.points)
        files[GOLDEN] = Golden(bundle.golden.inputs, {**bundle.golden.logits, precision: wrong}).to_bytes()
    write_bundle(path, bundle.manifest, files=files)
    return path


def test_every_backend_that_is_here_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "parity.md"
    assert main(["parity", str(ZOO), "--backends", "all", "--json", "--out", str(out)]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["backend"] for row in rows} == set(BACKENDS)
    by = {(row["backend"], row["precision"]): row for row in rows}
    ran = [row for row in rows if row["n"]]
    assert all(row["holds"] for row in ran) and {row["reference"] for row in ran} == {"torch"}
    for name in ("onnxruntime-cpu", *(["openvino"] if OpenVinoCpu.is_available() else [])):
        assert by[name, "fp32"]["max_abs"] <= 1e-4 and by[name, "fp32"]["agreement"] == 100.0
        assert by[name, "int8"]["max_abs"] > 0.01
    for row in rows:
        if BACKENDS[row["backend"]].why_not():
            assert row["holds"] is None and row["note"] == BACKENDS[row["backend"]].why_not()
    assert f"| onnxruntime-cpu | {BACKENDS['onnxruntime-cpu'].version()} | fp32 | golden |" in out.read_text()


@pytest.mark.parametrize("how", [constant, swapped_joints, wrong_stride])
@pytest.mark.parametrize("backend", ["onnxruntime-cpu", pytest.param("openvino", marks=needs_openvino)])
def test_a_broken_graph_is_caught(how: Break, backend: str, tmp_path: Path) -> None:
    cells = parity_matrix(broken(tmp_path / "b", how), [backend])
    assert [cell.holds for cell in cells] == [False, True], "FP32 is broken, INT8 is not"
    with pytest.raises(GateError, match=f"{backend} fp32 on golden"):
        check_cells(cells, where=tmp_path)


def test_a_file_that_says_the_same_of_everything_cannot_hide_behind_its_own_golden_logits(tmp_path: Path) -> None:
    path = broken(tmp_path / "b", constant, precision="int8", golden=True)
    cells = parity_matrix(path, ["onnxruntime-cpu"])
    assert (cells[1].holds, cells[1].note) == (False, "gives every input the same logits")


def test_the_command_ends_in_exit_4_and_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = broken(tmp_path / "b", swapped_joints)
    assert main(["parity", str(path), "--backends", "onnxruntime-cpu"]) == 4
    assert "onnxruntime-cpu fp32 on golden: max |Δ|" in capsys.readouterr().err
    assert main(["parity", str(path), "--backends", "openvin"]) == 2
    assert "did you mean openvino" in capsys.readouterr().err
    assert main(["parity", str(path), "--backends", "all", "--out", str(tmp_path / "x.txt")]) == 2


def test_a_named_backend_that_is_absent_is_missing() -> None:
    for name, backend in BACKENDS.items():
        if not backend.is_available():
            with pytest.raises(MissingError, match=backend.why_not()[:20]):
                parity_matrix(ZOO, [name])


def test_layers_that_agree_part_nowhere() -> None:
    graph = Bundle.open(ZOO).graph("fp32")
    found = compare_layers(Side("a", graph, "onnxruntime-cpu"), Side("b", graph, "onnxruntime-cpu"))
    assert found.culprit is None and not found.unpaired and {gap.max_abs for gap in found.gaps} == {0.0}
    assert len(found.gaps) > 60 and found.gaps[-1].node == "whole graph"


@pytest.mark.parametrize(("how", "kind"), [(constant, "Gemm"), (swapped_joints, "Gather"), (wrong_stride, "Conv")])
def test_layers_name_the_node_that_was_broken(
    how: Break, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = broken(tmp_path / "b", how)
    pair = ["--layers", str(ZOO / "model.fp32.onnx"), str(bundle / "model.fp32.onnx")]
    assert main(["parity", *pair, "--json"]) == 4
    captured = capsys.readouterr()
    rows = json.loads(captured.out)["rows"]
    first = next(row for row in rows if row["parts"])
    assert first["kind"] == kind and f"part at {first['node']}" in captured.err
    assert all(row["max_abs"] == 0 for row in rows[: rows.index(first)])


def test_int8_nodes_are_paired_with_the_float_ones_they_were_made_of() -> None:
    bundle = Bundle.open(ZOO)
    sides = read_sides(("int8", "fp32"), bundle)
    found = compare_layers(*sides, bundle.golden.inputs)
    float_nodes = onnx.load_from_string(bundle.graph("fp32")).graph.node
    assert (found.first, found.second) == ("fp32", "int8") and not found.unpaired
    assert [gap.node for gap in found.gaps[:-1]] == [node.name for node in float_nodes]
    products = [gap for gap in found.gaps if gap.kind == "MatMul"]
    assert len(products) == 9 and all(0 < gap.relative < 0.25 for gap in products), "each beside its own subset"


@needs_openvino
def test_two_backends_are_compared_node_by_node() -> None:
    bundle = Bundle.open(ZOO)
    found = compare_layers(*read_sides(("fp32", "openvino"), bundle), bundle.golden.inputs)
    assert found.culprit is None and len(found.gaps) > 60
    require_equal(found)


@pytest.mark.parametrize(
    ("sides", "error", "text"),
    [
        (("fp32", "int8"), UsageError, "none is named"),
        (("x.onnx", "x.onnx"), InputError, "no such file"),
        (("fp32@litert", "fp32"), UsageError, "cannot look between the nodes"),
    ],
)
def test_sides_that_cannot_be_read(sides: tuple[str, str], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        read_sides(sides, None)


def test_on_clips_answers_and_accuracy_count(quantized: Path, store: ClipStore, run: Path) -> None:
    names = ["onnxruntime-cpu", *(["openvino"] if OpenVinoCpu.is_available() else [])]
    for source, reference in ((None, "onnxruntime-cpu"), (run, "torch")):
        cells = [cell for cell in parity_matrix(quantized, names, store=store, run=source) if cell.on == "test"]
        check_cells(cells, where=quantized)
        assert {(cell.reference, cell.n) for cell in cells} == {(reference, 9)}
        expected = evaluate_bundle(quantized, store, precision="int8")["top1"]
        assert cells[1].precision == "int8" and cells[1].top1 == expected


def test_too_few_equal_answers_fail() -> None:
    logits = np.eye(3, dtype=np.float32)[np.arange(100) % 3]
    wrong = logits.copy()
    wrong[:5] = np.roll(wrong[:5], 1, axis=1)
    reference = Reference("test", {}, logits, "torch")
    assert "95% of 100 answers agree" in fault("int8", wrong, reference)
    assert fault("int8", np.concatenate([logits[:3] * 1.1, logits[3:]]), reference) == ""
    assert fault("fp32", logits * np.nan, reference) == "logits are not finite"
