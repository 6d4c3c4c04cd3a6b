"""Making MediaPipe `.task` files: an aligned, uncompressed zip of TensorFlow Lite models and what they must declare.

The Tasks library reads a pixel range from each model's metadata, wants 478 face points where the older mesh has 468,
and wants a blend-shape model; the functions here add just that. Same input, same bytes.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 16
LOCAL_HEADER_BYTES = 30
PADDING_FIELD = 0xD935
MESH_VALUES, IRIS_VALUES = 468 * 3, 10 * 3
BLENDSHAPE_POINTS, BLENDSHAPES = 146, 52


def sha256(content: bytes) -> str:
    """sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def pack(members: Mapping[str, bytes]) -> bytes:
    """A stored zip whose members start at multiples of 16 bytes, as the Tasks library maps them; dates are fixed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.extra = _padding(stream.tell() + LOCAL_HEADER_BYTES + len(name))
            archive.writestr(entry, content)
    return stream.getvalue()


def _padding(offset: int) -> bytes:
    """An extra field that moves the content from `offset` to the next aligned place."""
    missing = -offset % ALIGNMENT
    if missing == 0:
        return b""
    size = missing if missing >= 4 else missing + ALIGNMENT
    return PADDING_FIELD.to_bytes(2, "little") + (size - 4).to_bytes(2, "little") + bytes(size - 4)


def with_unit_range(content: bytes) -> bytes:
    """A model with the metadata "RGB pixels, mean 0, deviation 255", which its own file leaves out."""
    schema, metadata = _schemas()
    model = _parse(content)
    graph = model.subgraphs[0]
    about = metadata.SubGraphMetadataT()
    about.inputTensorMetadata = [_unit_range_image(graph.tensors[graph.inputs[0]].name)]
    about.outputTensorMetadata = [_named(graph.tensors[index].name) for index in graph.outputs]
    whole = metadata.ModelMetadataT()
    whole.name, whole.minParserVersion, whole.subgraphMetadata = b"landmarks", b"1.0.0", [about]
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", _add_buffer(model, _finish(whole, b"M001"))
    model.metadata = [*(model.metadata or []), entry]
    return _finish(model, b"TFL3")


def _unit_range_image(name: bytes) -> Any:
    _, metadata = _schemas()
    scale = metadata.NormalizationOptionsT()
    scale.mean, scale.std = [0.0], [255.0]
    process = metadata.ProcessUnitT()
    process.optionsType, process.options = metadata.ProcessUnitOptions.NormalizationOptions, scale
    image = metadata.ImagePropertiesT()
    image.colorSpace = metadata.ColorSpaceType.RGB
    content = metadata.ContentT()
    content.contentPropertiesType, content.contentProperties = metadata.ContentProperties.ImageProperties, image
    statistics = metadata.StatsT()
    statistics.min, statistics.max = [0.0], [1.0]
    tensor = _named(name)
    tensor.processUnits, tensor.content, tensor.stats = [process], content, statistics
    return tensor


def _named(name: bytes) -> Any:
    tensor = _schemas()[1].TensorMetadataT()
    tensor.name = name
    return tensor


def with_iris_padding(content: bytes) -> bytes:
    """A face mesh whose first output grows from 468 to 478 points by zeros: the iris points are not measured."""
    schema, _ = _schemas()
    model = _parse(content)
    graph = model.subgraphs[0]
    pads = np.array([[0, 0], [0, 0], [0, 0], [0, IRIS_VALUES]], np.int32)
    spec = _add_tensor(model, "padding", [4, 2], schema.TensorType.INT32, pads)
    grown = _add_tensor(model, "landmarks478", [1, 1, 1, MESH_VALUES + IRIS_VALUES], schema.TensorType.FLOAT32)
    outputs = list(graph.outputs)
    options = schema.BuiltinOptions.PadOptions, schema.PadOptionsT()
    _add_operator(model, schema.BuiltinOperator.PAD, [outputs[0], spec], [grown], options)
    graph.outputs = [grown, *outputs[1:]]
    return _finish(model, b"TFL3")


def zero_blendshapes() -> bytes:
    """A model from (1, 146, 2) face points to 52 zeros: the holistic file must hold one; its result is not used."""
    schema, _ = _schemas()
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, b"zeros"
    model.buffers, model.operatorCodes, model.subgraphs = [schema.BufferT()], [], [graph]
    graph.tensors, graph.operators = [], []
    kinds, flat = schema.TensorType, BLENDSHAPE_POINTS * 2
    points = _add_tensor(model, "points", [1, BLENDSHAPE_POINTS, 2], kinds.FLOAT32)
    weights = _add_tensor(
        model, "weights", [BLENDSHAPES, flat], kinds.FLOAT32, np.zeros((BLENDSHAPES, flat), np.float32)
    )
    row = _add_reshape(model, points, [1, flat], "row")
    product = _add_tensor(model, "product", [1, BLENDSHAPES], kinds.FLOAT32)
    options = schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT()
    _add_operator(model, schema.BuiltinOperator.FULLY_CONNECTED, [row, weights, -1], [product], options)
    graph.inputs, graph.outputs = [points], [_add_reshape(model, product, [BLENDSHAPES], "blendshapes")]
    return _finish(model, b"TFL3")


def _add_reshape(model: Any, tensor: int, shape: list[int], name: str) -> int:
    schema, _ = _schemas()
    spec = _add_tensor(model, f"{name}_shape", [len(shape)], schema.TensorType.INT32, np.array(shape, np.int32))
    result = _add_tensor(model, name, shape, schema.TensorType.FLOAT32)
    options = schema.ReshapeOptionsT()
    options.newShape = shape
    kind = schema.BuiltinOptions.ReshapeOptions, options
    _add_operator(model, schema.BuiltinOperator.RESHAPE, [tensor, spec], [result], kind)
    return result


def _add_buffer(model: Any, content: bytes) -> int:
    buffer = _schemas()[0].BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _add_tensor(model: Any, name: str, shape: list[int], kind: int, value: NDArray[Any] | None = None) -> int:
    """Append a tensor to the first subgraph and return its index; without a value it is computed, not stored."""
    tensor = _schemas()[0].TensorT()
    tensor.name, tensor.shape, tensor.type = name.encode(), shape, kind
    tensor.buffer = 0 if value is None else _add_buffer(model, value.tobytes())
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _add_operator(model: Any, code: int, inputs: list[int], outputs: list[int], options: tuple[int, Any]) -> None:
    schema, _ = _schemas()
    kind = schema.OperatorCodeT()
    kind.builtinCode = kind.deprecatedBuiltinCode = code
    kind.version = 1
    model.operatorCodes.append(kind)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = inputs, outputs
    operator.builtinOptionsType, operator.builtinOptions = options
    model.subgraphs[0].operators.append(operator)


def _parse(content: bytes) -> Any:
    schema, _ = _schemas()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def _finish(table: Any, identifier: bytes) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(0)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())


def _schemas() -> tuple[Any, Any]:
    """The TensorFlow Lite and the metadata schema, as MediaPipe ships them; loaded only where a file is made."""
    from mediapipe.tasks.metadata import metadata_schema_py_generated, schema_py_generated

    return schema_py_generated, metadata_schema_py_generated
