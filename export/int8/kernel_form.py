"""The form of a graph that 8-bit kernels run fast: joints padded, products with graphs as convolutions, gates in float.

An 8-bit product over 22 or 25 joints takes more than twice as long as one over 24 or 28, and as a convolution it takes
half as long as as a matrix product (ONNX Runtime 1.31 on AVX512-VNNI). The padded joints hold values that no real
joint reads: their rows in every graph are 0, and they are cut off before anything is summed over the joints.

ONNX Runtime unpacks an 8-bit tensor anew for each float node that reads it, and moves it between layouts for nodes that
sum over joints or frames. So the sum before a gate stays float, which makes one float map of it, and every node of the
gate works on (N, T, V, C), as 8-bit convolutions leave a map; padded joints weigh nothing in its means.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as passes
from onnxscript.rewriter import RewriteRule, RewriteRuleSet
from onnxscript.rewriter.pattern import Pattern

MULTIPLE = 4
SWAP = [0, 3, 2, 1]  # (N, C, T, V) <-> (N, V, T, C)
CHANNELS_LAST, CHANNELS_SECOND = [0, 2, 3, 1], [0, 3, 1, 2]
JOINT_AXIS = 3
REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceSum")


def kernel_form(model: ir.Model) -> dict[str, str]:
    """Bring a graph with known shapes into its 8-bit form; for each tensor it adds the one whose range it has.

    A node that takes another's place is called `NODE` or `NODE/…` after it. A graph without constant products, or whose
    graphs depend on the sample, stays as it is.
    """
    joints = next((len(array(node.inputs[1])) for node in model.graph if _is_graph_product(node)), 0)
    if not joints or any(node.op_type == "Softmax" for node in model.graph):
        return {}
    form = _Form(joints, -(-joints // MULTIPLE) * MULTIPLE, {match.bindings["x"] for match in joint_gates(model)})
    rules = [
        RewriteRule(_motion_pattern, form.motion, form.is_of_a_gate),
        RewriteRule(_gate_pattern, form.gate),
        RewriteRule(lambda op, x, graph: op.MatMul(x, graph, _outputs=["product"]), form.product, form.is_product),
    ]
    RewriteRuleSet(rules).apply_to_model(model)
    passes.RemoveUnusedNodesPass()(model)
    if form.padded > joints:
        _cut_before_reductions(model.graph, joints)
    form.ranges |= _stem_channels_last(model.graph, form.padded - joints)
    ir.passes.Sequential(
        passes.DeduplicateInitializersPass(), passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedNodesPass(), passes.NameFixPass(),
    )(model)  # fmt: skip
    return {str(value.name): name for value, name in form.ranges.items()}


def joint_gates(model: ir.Model) -> Iterator[Any]:
    """A match for each product of a map `x` with a joint attention's factor, x * g * (alpha a_t a_v + 1 - alpha)."""
    pattern = Pattern(_gate_pattern)
    for node in list(model.graph):
        if node.op_type == "Mul" and (
            match := pattern.match(model, model.graph, node, check_nodes_are_removable=False)
        ):
            yield match


def float_around_gates(model: ir.Model) -> set[str]:
    """Names of the nodes that add up what a gate reads, and of the gate's product."""
    found = set()
    for match in joint_gates(model):
        makers = match.bindings["x"].producer(), match.bindings["product"].producer()
        found |= {str(node.name) for node in makers if node is not None and node.op_type in ("Add", "Mul")}
    return found


def widened(matrix: NDArray[np.float32], padded: int) -> NDArray[np.float32]:
    """(V, K*V) -> (V', K*V') with rows and columns of 0 for the joints that are not there."""
    joints = len(matrix)
    by_graph = matrix.reshape(joints, -1, joints)
    spare = padded - joints
    return np.pad(by_graph, ((0, spare), (0, 0), (0, spare))).reshape(padded, -1)


def _gate_pattern(op: Any, x: Any, over_joints: Any, over_time: Any, mixing: Any) -> Any:
    """What the edge form writes; mixing: (1, C, 2, 1), alpha and the rest, or that times a channel's factor (N, C)."""
    columns, rows = (
        op.Pad(op.Sigmoid(_two_convolutions(op, mean, name)), _allow_other_inputs=True)
        for mean, name in ((over_joints, "temporal"), (over_time, "spatial"))
    )
    return op.Mul(x, op.MatMul(op.Transpose(columns), op.Mul(rows, mixing)), _outputs=["product"])


def _two_convolutions(op: Any, mean: Any, name: str) -> Any:
    first = op.Conv(mean, _allow_other_inputs=True, _outputs=[f"{name}_first"])
    return op.Conv(op.Relu(first), _allow_other_inputs=True, _outputs=[f"{name}_second"])


def _motion_pattern(op: Any, x: Any) -> Any:
    """The mean (N, C) of |x(t+1) - x(t)|."""
    after, before = op.Slice(x, _allow_other_inputs=True), op.Slice(x, _allow_other_inputs=True)
    return op.ReduceMean(op.Abs(op.Sub(after, before)), _allow_other_inputs=True, _outputs=["mean"])


@dataclass
class _Form:
    """What the rules write. sources: maps that gates read. ranges: for added values the names whose range they have."""

    joints: int
    padded: int
    sources: Collection[ir.Value]
    ranges: dict[ir.Value, str] = field(default_factory=dict)

    def is_product(self, context: Any, graph: ir.Value, product: ir.Value, **_: Any) -> bool:
        """Whether a product is with constant graphs side by side that a dilated convolution reads."""
        return _is_graph_product(product.producer())

    def product(self, op: Any, x: ir.Value, graph: ir.Value, product: ir.Value) -> ir.Value:
        """As a 1x1 convolution over joints."""
        name = name_of(product)
        weight = widened(array(graph), self.padded).T[:, :, None, None]
        turned = op.Transpose(x, perm=SWAP, _name=f"{name}/in")
        made = op.Conv(turned, constant(op, f"{name}/joints", weight), _name=name)
        for taps in product.consumers():
            taps.attributes["dilations"] = ir.AttrInt64s("dilations", [1, self.padded])
        self.ranges |= {turned: str(x.name), made: str(product.name)}
        return op.Transpose(made, perm=SWAP, _name=f"{name}/out")

    def is_of_a_gate(self, context: Any, x: ir.Value, mean: ir.Value) -> bool:
        """Whether motion energy is that of a map which a gate reads."""
        return x in self.sources

    def motion(self, op: Any, x: ir.Value, mean: ir.Value) -> ir.Value:
        """Neighbouring frames lie one after another in memory."""
        name, frames = name_of(mean), _size(x, 2)
        flat = self._flat(op, op.Transpose(x, perm=CHANNELS_LAST), x, name)
        bounds = {at: constant(op, f"{name}/{at}", [at]) for at in (0, 1, frames - 1, frames)}
        after, before = (op.Slice(flat, bounds[a], bounds[b], bounds[1]) for a, b in ((1, frames), (0, frames - 1)))
        size = self._over_time(op, op.Abs(op.Sub(after, before)), x, name, frames - 1)
        made = op.Squeeze(op.MatMul(self._over_joints(op, name), size), constant(op, f"{name}/places", [1, 2]))
        return _after(op, name, made)

    def gate(
        self, op: Any, x: ir.Value, mixing: ir.Value, product: ir.Value, temporal_first: ir.Value,
        temporal_second: ir.Value, spatial_first: ir.Value, spatial_second: ir.Value, **_: ir.Value,
    ) -> ir.Value:  # fmt: skip
        """The product and the branches of its factor, channels last; the branches' 1x1 convolutions are products."""
        name, scaled = name_of(product), mixing.producer()
        table, wide = (mixing, None) if scaled is None else scaled.inputs
        every_joint = constant(op, f"{name}/every", [1, 1, self.padded, 1])
        share, rest = (array(table)[:, :, index, 0].reshape(1, 1, 1, -1) for index in (0, 1))
        last = op.Transpose(x, perm=CHANNELS_LAST)
        read = [
            op.MatMul(self._over_joints(op, name), last),
            self._over_time(op, self._flat(op, last, x, name), x, name, _size(x, 2)),
            constant(op, f"{name}/share", share),
            op.Expand(constant(op, f"{name}/rest", rest), every_joint),
        ]
        if wide is not None:
            factor = op.Unsqueeze(_maker(wide).inputs[0], constant(op, f"{name}/places", [1, 2]))
            read = [op.Mul(value, factor) for value in read]
        columns = _branch(op, read[0], temporal_first, temporal_second)
        rows = _branch(op, read[1], spatial_first, spatial_second)
        outer = op.Mul(op.Expand(columns, every_joint), op.Mul(rows, read[2]))
        return _after(op, name, op.Transpose(op.Mul(last, op.Add(outer, read[3])), perm=CHANNELS_SECOND))

    def _flat(self, op: Any, last: ir.Value, x: ir.Value, name: str) -> ir.Value:
        """(N, T, V, C) -> (N, T, V*C)."""
        return op.Reshape(last, constant(op, f"{name}/flat", [-1, _size(x, 2), self.padded * _size(x, 1)]))

    def _over_time(self, op: Any, flat: ir.Value, x: ir.Value, name: str, frames: int) -> ir.Value:
        """Mean over time of (N, T, V*C), as (N, 1, V, C)."""
        share = constant(op, f"{name}/frames", np.full((1, frames), 1.0 / frames, np.float32))
        return op.Reshape(op.MatMul(share, flat), constant(op, f"{name}/joints", [-1, 1, self.padded, _size(x, 1)]))

    def _over_joints(self, op: Any, name: str) -> ir.Value:
        """(1, V) that makes the mean over the joints that are there."""
        mean = np.zeros((1, self.padded), np.float32)
        mean[:, : self.joints] = 1.0 / self.joints
        return constant(op, f"{name}/mean", mean)


def _branch(op: Any, value: ir.Value, first: ir.Value, second: ir.Value) -> ir.Value:
    """Two 1x1 convolutions and a sigmoid on means (N, L, 1, C) or (N, 1, L, C), as products."""
    for conv in (_maker(first), _maker(second)):
        _, weight, *bias = conv.inputs
        value = op.MatMul(value, constant(op, f"{conv.name}/matrix", array(weight)[:, :, 0, 0].T))
        value = op.Add(value, bias[0]) if bias else value
        value = op.Relu(value) if conv is first.producer() else value
    return op.Sigmoid(value)


def _is_graph_product(node: ir.Node | None) -> bool:
    """Whether a node is a product with a constant (V, K*V) matrix that a convolution of dilation V reads."""
    if node is None or node.op_type != "MatMul" or not _is_constant(node, 1):
        return False
    readers = [reader for reader in node.outputs[0].consumers() if reader.op_type == "Conv"]
    graph = array(node.inputs[1])
    return graph.ndim == 2 and len(graph) in [taps.attributes.get_ints("dilations", [1, 1])[1] for taps in readers]


def _is_constant(node: ir.Node, index: int) -> bool:
    """Whether a node's input is there and a constant."""
    value = node.inputs[index] if index < len(node.inputs) else None
    return value is not None and value.const_value is not None


def _stem_channels_last(graph: ir.Graph, spare: int) -> dict[ir.Value, str]:
    """Spare joints for the streams, and the first convolution as a product that leaves channels last in memory.

    That is where 8-bit convolutions read them, so that the map is rounded as it comes and never reordered in float. The
    padding, whose value is 1, also makes the channel that carries the bias. A first convolution in groups stays one.
    """
    stem = next(node for node in graph if node.op_type == "Conv")
    act, (streams, weights, *bias) = stem.outputs[0].consumers()[0], stem.inputs
    weight, tape = array(weights), ir.tape.Tape()
    in_groups = act.op_type != "Relu" or weight.shape[1] != _size(streams, 1)
    if spare or not in_groups:
        pads = constant(tape, "streams/pads", [0, 0, 0, 0, 0, 0 if in_groups else 1, 0, spare])
        one = constant(tape, "streams/one", np.array(1.0, np.float32))
        streams = tape.op("Pad", [streams, pads, one], name="Pad_streams")
    if in_groups:
        graph.insert_before(stem, tape.nodes)
        stem.replace_input_with(0, streams)
        ranges = {}
    else:
        name = stem.name
        row = array(bias[0]) if bias else np.zeros(len(weight), np.float32)
        matrix = constant(tape, f"{name}/matrix", np.concatenate([weight[:, :, 0, 0].T, row[None]]))
        last = tape.op("Transpose", [streams], {"perm": CHANNELS_LAST}, name=f"{name}/x")
        last = tape.op("Relu", [tape.op("MatMul", [last, matrix], name=f"{name}/sum")], name=f"{name}/act")
        made = tape.op("Transpose", [last], {"perm": CHANNELS_SECOND}, name="Transpose_stem")
        ranges = {last: str(act.outputs[0].name)}
        ir.convenience.replace_nodes_and_values(graph, act, [stem, act], tape.nodes, act.outputs, [made])
    for value in tape.initializers:
        graph.register_initializer(value)
    return ranges


def _cut_before_reductions(graph: ir.Graph, joints: int) -> None:
    """Only real joints where something behind the first convolution is summed or compared over joints."""
    nodes = list(graph)
    first = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    reducing = [node for node in nodes[first:] if node.op_type in REDUCTIONS and _is_constant(node, 1)]
    reducing = [node for node in reducing if {JOINT_AXIS, -1} & set(array(node.inputs[1]).ravel().tolist())]
    tape = ir.tape.Tape()
    start, end, axis = (constant(tape, f"joints/{at}", [at]) for at in (0, joints, JOINT_AXIS))
    for value in dict.fromkeys(node.inputs[0] for node in reducing):
        readers = [node for node in reducing if node.inputs[0] is value]
        cut = ir.tape.Tape()
        real = cut.op("Slice", [value, start, end, axis])
        graph.insert_before(readers[0], cut.nodes)
        for node in readers:
            node.replace_input_with(0, real)
    for value in tape.initializers:
        graph.register_initializer(value)


def _after(op: Any, name: str, value: ir.Value) -> ir.Value:
    """The value, when every node that was made is called after the node whose place it takes."""
    for index, node in enumerate(op.nodes):
        node.name = f"{name}/{index}"
    return value


def _maker(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None
    return node


def name_of(value: ir.Value) -> str:
    """Name of the node that makes a value."""
    return str(_maker(value).name)


def _size(value: ir.Value | None, axis: int) -> int:
    """Length of an axis; 0 where it may change."""
    size = 0 if value is None or value.shape is None else value.shape[axis]
    return size if isinstance(size, int) else 0


def array(value: ir.Value | None) -> NDArray[Any]:
    """The numbers of a constant."""
    assert value is not None and value.const_value is not None
    return value.const_value.numpy()


def constant(tape: Any, name: str, value: Any) -> ir.Value:
    """A constant of the graph that a rule or tape writes."""
    array = np.ascontiguousarray(value)
    return tape.initializer(ir.tensor(array.reshape(np.shape(value)), name=name))
