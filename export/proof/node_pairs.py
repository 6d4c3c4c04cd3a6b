"""Which node of one graph is which of another made from it: by kind, by what it reads, by its constants."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Constant = NDArray[np.float64]
Pairs = list[tuple[onnx.NodeProto, str]]
QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
# What a quantiser of unsigned or bounded range does by itself.
ABSORBED = ("Relu", "Clip")


def is_quantiser(node: onnx.NodeProto) -> bool:
    """Whether a node only changes how a number is stored."""
    return node.op_type in QUANTISERS


def pair_nodes(
    first: onnx.ModelProto, second: onnx.ModelProto
) -> tuple[list[tuple[onnx.NodeProto, str]], list[onnx.NodeProto]]:
    """Nodes of the first graph, in its order, with the value of the second that answers to theirs; those without one.

    A counterpart is of the same kind and reads the counterparts of what the node reads, quantisers looked through. Of
    several, as of the products with each subset of a graph, it is the one whose constants are nearest. An activation
    that the second has not got may be in the range of a quantiser: its value is then what that quantiser lets through.
    """
    one, other = _View(first), _View(second)
    known = {value.name: value.name for value in first.graph.input}
    free = [node for node in second.graph.node if not is_quantiser(node)]
    pairs: Pairs = []
    unpaired: list[onnx.NodeProto] = []
    for node in first.graph.node:
        if is_quantiser(node):
            continue
        reads = [known.get(name) for name in one.sources(node)]
        fits = [its for its in free if its.op_type == node.op_type and other.sources(its) == reads]
        if None in reads or not fits:
            absorbed = other.restored(reads[0]) if node.op_type in ABSORBED and reads[0] else None
            if absorbed is None:
                unpaired.append(node)
            else:
                pairs.append((node, absorbed))
                known[node.output[0]] = str(reads[0])
            continue
        found = min(fits, key=lambda its: (_attributes(its) != _attributes(node), _apart(one, node, other, its)))
        free.remove(found)
        pairs.append((node, found.output[0]))
        known.update(zip(node.output, found.output, strict=False))
    return pairs, unpaired


class _View:
    """A graph without its quantisers."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._nodes = list(proto.graph.node)
        self._constants = {constant.name: constant for constant in proto.graph.initializer}
        self._made_by = {name: node for node in proto.graph.node for name in node.output}
        for node in proto.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t

    def origin(self, name: str) -> str:
        """The value that quantisers made this one of."""
        while name in self._made_by and is_quantiser(self._made_by[name]):
            name = self._made_by[name].input[0]
        return name

    def restored(self, name: str) -> str | None:
        """A value after its quantisers; None where it has none."""
        for _ in QUANTISERS:
            name = next((n.output[0] for n in self._nodes if is_quantiser(n) and n.input[0] == name), "")
        return name or None

    def sources(self, node: onnx.NodeProto) -> list[str]:
        """What a node reads that is no constant, in order."""
        names = (self.origin(name) for name in node.input if name)
        return [name for name in names if name not in self._constants]

    def constants(self, node: onnx.NodeProto) -> list[Constant]:
        """The constants a node reads, as the numbers it sees."""
        return [self._value(name) for name in node.input if name and self.origin(name) in self._constants]

    def _value(self, name: str) -> Constant:
        maker = self._made_by.get(name)
        if maker is None or not is_quantiser(maker):
            return np.asarray(numpy_helper.to_array(self._constants[name]), np.float64)
        stored, scale, *zero = (self._value(each) for each in maker.input)
        axis = next((attribute.i for attribute in maker.attribute if attribute.name == "axis"), 1)
        spread = [1] * stored.ndim
        if scale.size > 1:
            spread[axis] = -1
        if maker.op_type == "QuantizeLinear":
            return stored
        return (stored - (zero[0].reshape(spread) if zero else 0.0)) * scale.reshape(spread)


def _attributes(node: onnx.NodeProto) -> list[bytes]:
    return sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)


def _apart(one: _View, node: onnx.NodeProto, other: _View, its: onnx.NodeProto) -> float:
    """Sum of mean |difference| of the constants of two nodes; infinite where their shapes differ."""
    ours, theirs = one.constants(node), other.constants(its)
    if [constant.shape for constant in ours] != [constant.shape for constant in theirs]:
        return float("inf")
    return sum(float(np.abs(a - b).mean()) for a, b in zip(ours, theirs, strict=True) if a.size)
