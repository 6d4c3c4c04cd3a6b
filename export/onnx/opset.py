"""The same graph in an older operator set, for a runtime that does not know the newest.

Of what our graphs use, sets 17 to 20 differ in this alone: ReduceMean, ReduceMax and their like take their axes as an
attribute before 18. What else a graph holds is held to the older set by ONNX's own checker.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from last_edge.errors import GateError, UsageError
from last_edge.export.onnx.onnx_graph import OPSET

OLDEST = 17
AXES_AS_ATTRIBUTE_BEFORE = 18
REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare")
IR_VERSIONS = {17: 8, 18: 8, 19: 9}
"""The file format's version that came with each set: a runtime of its time opens no newer one."""


def check_opset(opset: int) -> None:
    """`UsageError` for a set that is not written."""
    if not OLDEST <= opset <= OPSET:
        raise UsageError("this operator set is not written", expected=f"{OLDEST} to {OPSET}", got=opset)


def with_opset(graph: bytes, opset: int) -> bytes:
    """A graph of ours in the operator set `opset`; the same bytes for the one it has.

    Raises `UsageError` as `check_opset`, `GateError` where an operator has no such form.
    """
    check_opset(opset)
    if opset == OPSET:
        return graph
    proto = onnx.load_from_string(graph)
    if opset < AXES_AS_ATTRIBUTE_BEFORE:
        _axes_as_attributes(proto.graph)
    proto.opset_import[0].version, proto.ir_version = opset, IR_VERSIONS[opset]
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        got = str(error).splitlines()[0]
        raise GateError(f"the graph has no form in operator set {opset}", got=got, hint=f"--opset {OPSET}") from error
    return bytes(proto.SerializeToString(deterministic=True))


def _axes_as_attributes(graph: onnx.GraphProto) -> None:
    constants = {value.name: value for value in graph.initializer}
    for node in graph.node:
        if node.op_type not in REDUCTIONS:
            continue
        axes = list(node.input)[1:]
        kept = [each for each in node.attribute if each.name != "noop_with_empty_axes"]
        del node.attribute[:], node.input[1:]
        node.attribute.extend(kept)
        if axes:
            node.attribute.append(helper.make_attribute("axes", numpy_helper.to_array(constants[axes[0]]).tolist()))
    used = {name for node in graph.node for name in node.input}
    left = [value for value in graph.initializer if value.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
