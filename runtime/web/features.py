"""What makes a recogniser's graph give out the features that its last layer reads, on which the page teaches a head.

An ONNX file is one protobuf message, and what is written behind a message's end goes on with it (protobuf's encoding,
"last one wins", of embedded messages merging): so a few bytes behind a graph declare one output more. Nothing but the
tensor's name has to be read, so no package besides the runtime's is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from last_edge.bundle.manifest import OUTPUT_NAME

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_OUTPUT = 1, 12
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR = 1, 2, 4
VALUE_NAME = 1
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
LAST_LAYER = b"Gemm"


@dataclass(frozen=True)
class Features:
    """name: of the tensor (N, F) that the last layer reads. behind: bytes to write behind the graph's to get it."""

    name: str
    behind: bytes


def features_of(graph: bytes) -> Features | None:
    """None of a graph whose logits are no linear layer's, as where an answer is a mean over frames."""
    for number, content in fields(memoryview(graph)):
        if number != MODEL_GRAPH:
            continue
        for kind, node in fields(content):
            if kind == GRAPH_NODE and (name := _read_by_last_layer(node)) is not None:
                output = _field(GRAPH_OUTPUT, _field(VALUE_NAME, name))
                return Features(name.decode(), _field(MODEL_GRAPH, output))
    return None


def _read_by_last_layer(node: memoryview) -> bytes | None:
    """The first input of the linear layer that gives the logits; None of another node."""
    found = [(number, bytes(content)) for number, content in fields(node)]
    given = [content for number, content in found if number == NODE_OUTPUT]
    if given != [OUTPUT_NAME.encode()] or (NODE_OPERATOR, LAST_LAYER) not in found:
        return None
    return next(content for number, content in found if number == NODE_INPUT)


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every field that has a length; the others are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == LENGTH:
            size, at = _varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        elif kind == VARINT:
            _, at = _varint(message, at)
        else:
            at += 8 if kind == FIXED64 else 4


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        at, shift, more = at + 1, shift + 7, message[at] & 0x80
        if not more:
            return value, at


def _field(number: int, content: bytes) -> bytes:
    """A field with a length below 128."""
    assert len(content) < 128
    return bytes([number << 3 | LENGTH, len(content)]) + content
