"""Graphs in older operator sets: what runtimes of their time know, and the same logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, UsageError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.export.onnx.onnx_graph import IR_VERSIONS, OPSET, REDUCTIONS, with_opset
from last_edge.export.onnx.session import logits_of


@pytest.mark.parametrize("opset", sorted(IR_VERSIONS))
def test_an_older_set_gives_the_same_logits(opset: int, exported: Path) -> None:
    bundle = Bundle.open(exported)
    older = with_opset(bundle.graph("fp32"), opset)
    proto = onnx.load_from_string(older)
    assert (proto.opset_import[0].version, proto.ir_version) == (opset, IR_VERSIONS[opset])
    found = [node for node in proto.graph.node if node.op_type in REDUCTIONS]
    assert found and all((len(node.input) == 1) is (opset < 18) for node in found)
    inputs = bundle.golden.inputs
    np.testing.assert_array_equal(logits_of(older, inputs), logits_of(bundle.graph("fp32"), inputs))


def test_the_sets_own_graph_is_left_alone_and_others_are_refused(exported: Path) -> None:
    graph = Bundle.open(exported).graph("fp32")
    assert with_opset(graph, OPSET) is graph
    for unknown in (16, OPSET + 1):
        with pytest.raises(UsageError, match="operator set is not written"):
            with_opset(graph, unknown)


def test_an_operator_of_a_newer_set_is_told(exported: Path) -> None:
    proto = onnx.load_from_string(Bundle.open(exported).graph("fp32"))
    proto.graph.node[0].op_type = "Gelu"
    with pytest.raises(GateError, match="no form in operator set 17"):
        with_opset(proto.SerializeToString(), 17)


def test_a_bundle_of_an_older_set_is_quantised_in_it(run: Path, store: ClipStore, tmp_path: Path) -> None:
    manifest = export_run(run, tmp_path / "bundle", opset=17)
    assert manifest.model.opset == 17
    quantize_bundle(tmp_path / "bundle", store, Plan(count=8))
    bundle = Bundle.open(tmp_path / "bundle")
    for precision in ("fp32", "int8"):
        proto = onnx.load_from_string(bundle.graph(precision))
        assert {entry.domain: entry.version for entry in proto.opset_import}[""] == 17
        onnx.checker.check_model(proto, full_check=True)
