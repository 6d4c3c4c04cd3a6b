"""Gates between 8-bit maps: read and applied channels last, as 8-bit convolutions leave a map, in float, unpacked once.

ONNX Runtime unpacks an 8-bit tensor anew for each float node that reads it, and moves it between layouts for nodes that
sum over joints or frames. So the sum before a gate stays float, which makes one float map of it, and every node of the
gate works on (N, T, V, C); padded joints weigh nothing in its means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

CHANNELS_LAST, CHANNELS_SECOND = [0, 2, 3, 1], [0, 3, 1, 2]
MEAN, FRAMES, PLACES = "gates/mean", "gates/frames", "gates/places"


@dataclass(frozen=True)
class Branch:
    """Two 1x1 convolutions with an activation between them, on the means over one axis."""

    first: onnx.NodeProto
    act: onnx.NodeProto
    second: onnx.NodeProto


@dataclass(frozen=True)
class JointGate:
    """x * g * (alpha a_t a_v + 1 - alpha), as the edge form writes it.

    product: the last product. source: name of x. temporal, spatial: what makes a_t and a_v. mixing: (1, C, 2, 1), alpha
    and the rest. factor: name of g (N, C); None where no channel gate goes before. motion: slices, difference, size and
    mean of the motion energy that g is read from.
    """

    product: onnx.NodeProto
    source: str
    temporal: Branch
    spatial: Branch
    mixing: str
    factor: str | None
    motion: tuple[onnx.NodeProto, ...]


class Makers:
    """Who makes each value of a graph."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.by_name = {name: node for node in proto.graph.node for name in node.output}

    def of(self, node: onnx.NodeProto | None, index: int, kind: str) -> onnx.NodeProto | None:
        """The maker of a node's input, if it is of this kind."""
        made = None if node is None or index >= len(node.input) else self.by_name.get(node.input[index])
        return made if made is not None and made.op_type == kind else None

    def branch(self, end: onnx.NodeProto | None) -> Branch | None:
        """The convolutions before a sigmoid."""
        second = self.of(end, 0, "Conv")
        act = None if second is None else self.by_name.get(second.input[0])
        first = self.of(act, 0, "Conv")
        return None if second is None or act is None or first is None else Branch(first, act, second)


def joint_gates(proto: onnx.ModelProto) -> list[JointGate]:
    """Every product of a map with a joint attention's factor."""
    makers = Makers(proto)
    found = (_gate(proto, makers, node) for node in proto.graph.node if node.op_type == "Mul")
    return [gate for gate in found if gate is not None]


def float_around_gates(proto: onnx.ModelProto) -> set[str]:
    """Names of the nodes that add up what a gate reads, and of the gate's product."""
    gates = joint_gates(proto)
    sources = {gate.source for gate in gates}
    summed = {node.name for node in proto.graph.node if node.op_type == "Add" and node.output[0] in sources}
    return summed | {gate.product.name for gate in gates}


def gates_channels_last(proto: onnx.ModelProto, *, joints: int, padded: int) -> None:
    """Rewrite every joint gate, and the motion energy that is read of its map, to work channels last."""
    gates = joint_gates(proto)
    if not gates:
        return
    mean = np.zeros((1, padded), np.float32)
    mean[:, :joints] = 1.0 / joints
    for name, value in {MEAN: mean, FRAMES: np.array([1]), PLACES: np.array([1, 2])}.items():
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    shapes = _shapes(proto)
    for gate in gates:
        _, channels, frames, _ = shapes[gate.source]
        _rewrite(proto, gate, (frames, padded, channels))
    _drop_unread(proto)


def _gate(proto: onnx.ModelProto, makers: Makers, product: onnx.NodeProto) -> JointGate | None:
    factor = makers.of(product, 1, "MatMul")
    columns = makers.of(makers.of(factor, 0, "Transpose"), 0, "Pad")
    mixed = makers.of(factor, 1, "Mul")
    temporal = makers.branch(makers.of(columns, 0, "Sigmoid"))
    spatial = makers.branch(makers.of(makers.of(mixed, 0, "Pad"), 0, "Sigmoid"))
    if mixed is None or temporal is None or spatial is None:
        return None
    scaled = makers.of(mixed, 1, "Mul")
    wide = makers.of(scaled, 1, "Unsqueeze")
    mixing = mixed.input[1] if scaled is None else scaled.input[0]
    source = product.input[0]
    motion = _motion(proto, makers, source)
    return JointGate(product, source, temporal, spatial, mixing, None if wide is None else wide.input[0], motion)


def _motion(proto: onnx.ModelProto, makers: Makers, source: str) -> tuple[onnx.NodeProto, ...]:
    """What makes the mean (N, C) of |x(t+1) - x(t)|; empty where it is not read."""
    for mean in proto.graph.node:
        size = makers.of(mean, 0, "Abs") if mean.op_type == "ReduceMean" else None
        step = makers.of(size, 0, "Sub")
        ends = [makers.of(step, index, "Slice") for index in (0, 1)]
        if size is not None and step is not None and all(end is not None and end.input[0] == source for end in ends):
            return (*(end for end in ends if end is not None), step, size, mean)
    return ()


def _rewrite(proto: onnx.ModelProto, gate: JointGate, sizes: tuple[int, int, int]) -> None:
    """What is read of the map stands where its first reader did, the product where it stood."""
    last, over_time = f"{gate.source}/last", f"{gate.product.output[0]}/v"
    reading = [_node("Transpose", [gate.source], last, gate.product.name, perm=CHANNELS_LAST)]
    reading += _over_time(proto, gate, last, over_time, sizes)
    first = next(index for index, node in enumerate(proto.graph.node) if gate.source in node.input)
    for node in gate.motion:
        proto.graph.node.remove(node)
    _insert(proto, first, reading)
    at = list(proto.graph.node).index(gate.product)
    proto.graph.node.remove(gate.product)
    _insert(proto, at, _product(proto, gate, last, over_time, sizes))


def _over_time(
    proto: onnx.ModelProto, gate: JointGate, last: str, target: str, sizes: tuple[int, int, int]
) -> list[onnx.NodeProto]:
    """The map's mean over time, and its motion energy: neighbouring frames lie one after another in memory."""
    name, (frames, joints, channels) = gate.product.name, sizes
    flat, shape = f"{last}/flat", _constant(proto, np.array([-1, 1, joints, channels]))
    made = [
        _node("Reshape", [last, _constant(proto, np.array([-1, frames, joints * channels]))], flat, name),
        _node("MatMul", [_share(proto, frames), flat], f"{target}/flat", name),
        _node("Reshape", [f"{target}/flat", shape], target, name),
    ]
    if not gate.motion:
        return made
    mean = gate.motion[-1]
    of, owner = mean.output[0], mean.name
    none, one, end, beyond = (_constant(proto, np.array([value])) for value in (0, 1, frames - 1, frames))
    return [
        *made,
        _node("Slice", [flat, one, beyond, FRAMES], f"{of}/after", owner),
        _node("Slice", [flat, none, end, FRAMES], f"{of}/before", owner),
        _node("Sub", [f"{of}/after", f"{of}/before"], f"{of}/steps", owner),
        _node("Abs", [f"{of}/steps"], f"{of}/size", owner),
        _node("MatMul", [_share(proto, frames - 1), f"{of}/size"], f"{of}/flat", owner),
        _node("Reshape", [f"{of}/flat", shape], f"{of}/joints", owner),
        _node("MatMul", [MEAN, f"{of}/joints"], f"{of}/mean", owner),
        _node("Squeeze", [f"{of}/mean", PLACES], of, owner),
    ]


def _share(proto: onnx.ModelProto, frames: int) -> str:
    """(1, T) of 1 / T."""
    return _constant(proto, np.full((1, frames), 1.0 / frames, np.float32))


def _product(
    proto: onnx.ModelProto, gate: JointGate, last: str, over_time: str, sizes: tuple[int, int, int]
) -> list[onnx.NodeProto]:
    name, of = gate.product.name, gate.product.output[0]
    share, rest = (constants(proto)[gate.mixing][:, :, index, 0].reshape(1, 1, 1, -1) for index in (0, 1))
    every_joint = _constant(proto, np.array([1, 1, sizes[1], 1]))
    over_joints, mixing = f"{of}/t", [_constant(proto, share), f"{of}/rest"]
    made = [
        _node("MatMul", [MEAN, last], over_joints, name),
        _node("Expand", [_constant(proto, rest), every_joint], mixing[1], name),
    ]
    if gate.factor is not None:
        wide = f"{of}/channel"
        made.append(_node("Unsqueeze", [gate.factor, PLACES], wide, name))
        scaled = [over_joints, over_time, *mixing]
        made += [_node("Mul", [value, wide], f"{of}/{index}", name) for index, value in enumerate(scaled)]
        over_joints, over_time, *mixing = (f"{of}/{index}" for index in range(len(scaled)))
    made += _branch(proto, gate.temporal, over_joints, f"{of}/columns", name)
    made += _branch(proto, gate.spatial, over_time, f"{of}/rows", name)
    return [
        *made,
        _node("Mul", [f"{of}/rows", mixing[0]], f"{of}/shared", name),
        _node("Expand", [f"{of}/columns", every_joint], f"{of}/every", name),
        _node("Mul", [f"{of}/every", f"{of}/shared"], f"{of}/outer", name),
        _node("Add", [f"{of}/outer", mixing[1]], f"{of}/factor", name),
        _node("Mul", [last, f"{of}/factor"], f"{of}/last", name),
        _node("Transpose", [f"{of}/last"], of, name, perm=CHANNELS_SECOND),
    ]


def _branch(proto: onnx.ModelProto, branch: Branch, source: str, target: str, owner: str) -> list[onnx.NodeProto]:
    """The branch on (N, L, 1, C) or (N, 1, L, C) as products, and its sigmoid."""
    made, current = [], source
    for index, conv in enumerate((branch.first, branch.second)):
        weight, *bias = conv.input[1:]
        matrix = _constant(proto, constants(proto)[weight][:, :, 0, 0].T)
        made.append(_node("MatMul", [current, matrix], f"{target}/product{index}", owner))
        current = f"{target}/product{index}"
        if bias:
            made.append(_node("Add", [current, bias[0]], f"{target}/sum{index}", owner))
            current = f"{target}/sum{index}"
        if conv is branch.first:
            made.append(_node(branch.act.op_type, [current], f"{target}/act", owner))
            current = f"{target}/act"
    return [*made, _node("Sigmoid", [current], target, owner)]


def _shapes(proto: onnx.ModelProto) -> dict[str, list[int]]:
    """Sizes of every value, 0 where they may change."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph.value_info
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred}


def _constant(proto: onnx.ModelProto, value: NDArray[Any]) -> str:
    """Add a constant under a name of its own."""
    name = f"gates/{len(proto.graph.initializer)}"
    proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return name


def constants(proto: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """The graph's constants by name."""
    return {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}


def _node(kind: str, given: list[str], output: str, owner: str, **attributes: object) -> onnx.NodeProto:
    """A node in place of `owner`, under a name that leads to it."""
    return onnx.helper.make_node(kind, given, [output], f"{owner}/{output.replace('/', '.')}", **attributes)


def _insert(proto: onnx.ModelProto, at: int, nodes: list[onnx.NodeProto]) -> None:
    for node in reversed(nodes):
        proto.graph.node.insert(at, node)


def _drop_unread(proto: onnx.ModelProto) -> None:
    """Remove nodes and constants that nothing reads any more."""
    wanted = {value.name for value in proto.graph.output}
    kept = []
    for node in reversed(list(proto.graph.node)):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(kept))
    for constant in [constant for constant in proto.graph.initializer if constant.name not in wanted]:
        proto.graph.initializer.remove(constant)
