"""TensorRT: what it asks of an ONNX graph, engines built from a bundle's graph or its form in float16, what to type.

Operator rules need no TensorRT; its own parser is asked where it is installed.

Sources: ONNX-TensorRT's operator list and NVIDIA's opset guide for TensorRT 11; the rules on quantisers were each
seen to stop a build of TensorRT for RTX 1.7.
"""

import dataclasses
import hashlib
import importlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.bundle.manifest import INPUT_NAME, Figure, Manifest, model_file
from last_edge.errors import GateError, InputError, MissingError, UsageError
from last_edge.export.proof.same import fault
from last_edge.files import cache_folder, writing
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.backends.base import has_module
from last_edge.runtime.backends.onnxruntime import OnnxRuntimeTensorRT
from last_edge.runtime.backends.tensorrt_engine import ANY_RTX, TensorRT, TensorRTForRTX, gpu_name
from last_edge.runtime.recognise.model import INT8_TENSORRT, artefact_name, precision_for

OPSETS = range(9, 26)
DOMAINS = ("", "ai.onnx")
INT8_OPERATORS = ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")
UNSUPPORTED = ("BitShift", "Compress", "Det", "Multinomial", "Optional", "SequenceConstruct", "StringConcat", "Unique")
PARSERS = ("tensorrt", "tensorrt_rtx")
QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Violation:
    """node: by its name, empty for the whole graph. rule: what is asked. got: what was found."""

    node: str
    rule: str
    got: str


def violations(content: bytes) -> list[Violation]:
    """Every rule that a graph breaks; none when TensorRT should take it."""
    model = ir.from_proto(onnx.load_from_string(content))
    wanted = f"opset {OPSETS.start} to {OPSETS.stop - 1}"
    odd = [version for domain, version in model.opset_imports.items() if domain in DOMAINS and version not in OPSETS]
    broken = [found for node in model.graph for rule in RULES for found in rule(node)]
    return [*(Violation("", wanted, str(version)) for version in odd), *broken]


def parser_faults(content: bytes) -> list[Violation] | None:
    """What TensorRT's own parser says of a graph; None where no flavour of TensorRT is installed."""
    module = next((name for name in PARSERS if has_module(name)), None)
    if module is None:
        return None
    trt = importlib.import_module(module)
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    _, parser = parsed(trt, logger, content, builder=trt.Builder(logger))
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    rule = f"the parser of {module} {trt.__version__} takes it"
    return [Violation(error.node_name(), rule, error.desc().split("\n")[0]) for error in errors]


def parsed(trt: Any, logger: Any, content: bytes, *, builder: Any) -> tuple[Any, Any]:
    """(network, parser) of a graph in a strongly typed network; the parser holds the errors."""
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    parser.parse(content)
    return network, parser


def require_fit(content: bytes, *, where: object) -> str:
    """`GateError` naming everything that keeps TensorRT from a graph; else what was checked, in words."""
    broken, said = violations(content), parser_faults(content)
    found = [f"{fault.node or 'graph'}: {fault.rule} (got {fault.got})" for fault in [*broken, *(said or [])]]
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise GateError("TensorRT would not take this graph", where=where, got="; ".join(found[:5]) + more,
                        hint="last-edge quantize BUNDLE --store STORE --target tensorrt")  # fmt: skip
    return "operator rules" if said is None else "operator rules and TensorRT's parser"


def _operator(node: ir.Node) -> Iterator[Violation]:
    name = str(node.name)
    if node.domain not in DOMAINS:
        yield Violation(name, "operators of ONNX alone", f"{node.domain}.{node.op_type}")
    elif node.op_type in INT8_OPERATORS:
        yield Violation(name, "8 bits as explicit Q/DQ pairs, no integer operators", node.op_type)
    elif node.op_type in UNSUPPORTED:
        yield Violation(name, "an operator that TensorRT has", node.op_type)


def _einsum(node: ir.Node) -> Iterator[Violation]:
    """No ellipsis and no letter twice in one term."""
    if node.op_type != "Einsum":
        return
    equation = str(node.attributes.get_string("equation"))
    terms = equation.replace(" ", "").replace("->", ",").split(",")
    if "..." in equation or any(len(set(term)) < len(term) for term in terms):
        yield Violation(str(node.name), "Einsum without ellipsis or diagonal", equation)


def _quantiser(node: ir.Node) -> Iterator[Violation]:
    """s8 with zero points of 0 and constant positive scales; one scale a channel for constants alone."""
    if node.op_type not in QUANTISERS:
        return
    name, (value, by, *more) = str(node.name), node.inputs
    assert value is not None and by is not None
    stored, scale = value.const_value, by.const_value
    if node.op_type == "DequantizeLinear" and stored is not None and stored.dtype != ir.DataType.INT8:
        what = "a float bias" if stored.dtype == ir.DataType.INT32 else "s8 constants"
        yield Violation(name, what, stored.dtype.name)
    if scale is None or not (scale.numpy() > 0).all():
        yield Violation(name, "constant positive scales", str(by.name))
    elif scale.size > 1 and not _stored_first(value):
        yield Violation(name, "one scale for an activation", f"{scale.size} scales")
    if not more or more[0] is None:
        if node.op_type == "QuantizeLinear":
            yield Violation(name, "s8 activations", "UINT8, the type without a zero point")
        return
    zero = more[0].const_value
    if zero is None or np.any(zero.numpy() != 0):
        yield Violation(name, "zero points of 0", str(more[0].name))
    elif zero.dtype not in (ir.DataType.INT8, ir.DataType.INT32):
        yield Violation(name, "s8 activations", zero.dtype.name)


def _stored_first(value: ir.Value) -> bool:
    """Whether what a quantiser reads is stored, not computed."""
    maker = value.producer()
    if maker is not None and maker.op_type == "QuantizeLinear" and maker.inputs[0] is not None:
        return _stored_first(maker.inputs[0])
    return value.is_initializer()


def _pair(node: ir.Node) -> Iterator[Violation]:
    """What a quantiser stores is read by its counterpart alone."""
    if node.op_type == "QuantizeLinear":
        kinds = {reader.op_type for reader in node.outputs[0].consumers()} - {"DequantizeLinear"}
        if kinds:
            yield Violation(str(node.name), "Q followed by DQ alone", ", ".join(sorted(kinds)))


def _stored(node: ir.Node) -> Iterator[Violation]:
    """What is stored in 8 bits is read by a DequantizeLinear."""
    if node.op_type not in QUANTISERS:
        for value in node.inputs:
            if value is not None and value.is_initializer() and value.dtype == ir.DataType.INT8:
                yield Violation(str(node.name), "s8 constants read by DequantizeLinear alone", node.op_type)


RULES: tuple[Callable[[ir.Node], Iterator[Violation]], ...] = (_operator, _einsum, _quantiser, _pair, _stored)
FLAVOURS: dict[str, type[TensorRT]] = {backend.flavour: backend for backend in (TensorRT, TensorRTForRTX)}
FP16 = "fp16"
WEIGHTED = ("Conv", "Gemm", "MatMul")
LARGEST_HALF = float(np.finfo(np.float16).max)
HALF_GRAPH = "tensorrt.fp16.onnx"
"""The graph that an FP16 engine is built from, made of the FP32 graph."""
MOST_HALF = 0.01
"""Share of the largest golden logit that the float16 graph may be off: it rounds each layer's values to 11 bits."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What would be built: from which graph, what it is called in the bundle, and the clips a call may hold."""

    bundle: Bundle
    graph: bytes
    backend: type[TensorRT]
    precision: str
    most: int
    checked: str

    @property
    def source(self) -> str:
        """File the engine is built from."""
        return HALF_GRAPH if self.precision == FP16 else model_file(self.precision)

    @property
    def target(self) -> str:
        """File the engine becomes."""
        return artefact_name(self.backend, self.precision)

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """Smallest, usual and largest input."""
        spec = self.bundle.manifest.input.shape
        return (1, *spec), (1, *spec), (self.most, *spec)


def plan_engine(path: Path, *, flavour: str, precision: str | None = None, most: int = 16, force: bool = False) -> Plan:
    """Check that a bundle's graph is one that TensorRT takes; INT8 where the bundle has it in TensorRT's format.

    precision: `int8` means TensorRT's format; `fp16` is made of the FP32 graph. Raises `UsageError` when the engine is
    there and not `force`, or answers at every frame; `InputError` without such a graph and where the model reads more
    than landmarks, `GateError` when the graph breaks a rule, or in float16 gives other golden answers.
    """
    bundle, backend = Bundle.open(path).recogniser(), FLAVOURS[flavour]
    bundle.of_landmarks("an engine here has one input")
    if bundle.manifest.stream is not None:
        hint = f"last-edge run {path} --backend {OnnxRuntimeTensorRT.name} takes the ONNX file as it is"
        raise UsageError("an engine has no state; this bundle answers at every frame", where=path, hint=hint)
    chosen = precision_for(backend, precision or ("int8" if INT8_TENSORRT in bundle.precisions else "fp32"))
    if chosen != FP16 and chosen not in bundle.precisions:
        hint = "last-edge quantize BUNDLE --store STORE --target tensorrt"
        have = ", ".join((*bundle.precisions, FP16))
        raise InputError(f"bundle has no {chosen} graph", where=path, expected=have, hint=hint)
    target = artefact_name(backend, chosen)
    if target in bundle.manifest.files and not force:
        raise UsageError("the bundle has this engine", where=path / target, hint="--force to build it anew")
    graph = half_graph(bundle) if chosen == FP16 else bundle.graph(chosen)
    checked = require_fit(graph, where=path / (HALF_GRAPH if chosen == FP16 else model_file(chosen)))
    return Plan(bundle, graph, backend, chosen, most, checked)


def half_graph(bundle: Bundle) -> bytes:
    """The FP32 graph in float16; `GateError` where ONNX Runtime gets other answers of it to the golden inputs."""
    made, golden = to_half(bundle.graph("fp32"), where=bundle.path / model_file("fp32")), bundle.golden
    expected = golden.logits["fp32"]
    got = OnnxRuntimeCpu(made).run(golden.inputs)
    most = MOST_HALF * max(float(np.abs(expected).max()), 1.0)
    wrong = fault(got, expected, most=most)
    if wrong:
        hint = "last-edge engine BUNDLE --precision fp32"
        raise GateError("the float16 graph differs from its model", where=bundle.path / HALF_GRAPH,
                        expected=f"<= {most:.3g}", got=wrong, hint=hint)  # fmt: skip
    return made


def add_graph(plan: Plan) -> None:
    """Put a graph that was made for the engine into the bundle, to be built from on the device."""
    if plan.source == HALF_GRAPH:
        rewrite_bundle(plan.bundle, plan.bundle.manifest, files={HALF_GRAPH: plan.graph})


def build_engine(plan: Plan) -> Manifest:
    """Build the engine and put it into the bundle, with what it was built from.

    `MissingError` where this flavour cannot build here: `tensorrt` needs the GPU that the engine is for, `tensorrt-rtx`
    needs none.
    """
    if reason := why_not(plan.backend):
        raise MissingError(f"cannot build this engine here: {reason}", where=plan.target, hint=trtexec(plan))
    content = _build(plan)
    bundle, manifest = plan.bundle, plan.bundle.manifest
    built: dict[str, Figure] = {
        "flavour": plan.backend.flavour, "version": plan.backend.version(), "precision": plan.precision,
        "gpu": gpu_name() if plan.backend is TensorRT else ANY_RTX, "source": plan.source,
        "source_sha256": hashlib.sha256(plan.graph).hexdigest(),
    }  # fmt: skip
    manifest = dataclasses.replace(manifest, engines={**manifest.engines, plan.target: built})
    made = {HALF_GRAPH: plan.graph} if plan.source == HALF_GRAPH else {}
    return rewrite_bundle(bundle, manifest, files={**made, plan.target: content})


def why_not(backend: type[TensorRT]) -> str:
    """Why an engine of this flavour cannot be built here; empty when it can."""
    if backend is TensorRT:
        return backend.why_not()
    return "" if has_module(backend.module) else f"{backend.package} is not installed"


def trtexec(plan: Plan) -> str:
    """The line that builds the engine on the device, in the bundle's folder."""
    smallest, usual, largest = ("x".join(map(str, shape)) for shape in plan.shapes)
    tool = "trtexec" if plan.backend is TensorRT else "tensorrt_rtx"
    words = [tool, f"--onnx={plan.source}", f"--saveEngine={plan.target}"]
    words += [f"--{which}Shapes={INPUT_NAME}:{shape}"
              for which, shape in (("min", smallest), ("opt", usual), ("max", largest))]  # fmt: skip
    return shlex.join([*words, *(["--stronglyTyped", "--timingCacheFile=timing.cache"] if tool == "trtexec" else [])])


def on_device(plan: Plan) -> list[str]:
    """What to type on the device that the engine is for: with this package, and with TensorRT alone."""
    name, flavour = shlex.quote(str(plan.bundle.path)), plan.backend.flavour
    return [
        plan.backend.mend,
        f"last-edge engine {name} --flavour {flavour} --precision {plan.precision}",
        f"cd {name} && {trtexec(plan)}",
    ]


def _build(plan: Plan) -> bytes:
    trt = importlib.import_module(plan.backend.module)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network, parser = parsed(trt, logger, plan.graph, builder=builder)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT_NAME, *plan.shapes)
    config.add_optimization_profile(profile)
    if plan.backend is TensorRT:  # start from the kernels that were timed before on this machine with this version
        named = f"timing-{plan.backend.version()}-{gpu_name().replace(' ', '-')}.cache"
        cache = cache_folder() / "engines" / named
        config.set_timing_cache(config.create_timing_cache(cache.read_bytes() if cache.is_file() else b""), False)
    content = builder.build_serialized_network(network, config)
    if content is None:
        faults = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise InputError("TensorRT could not build the engine", where=plan.bundle.path / plan.source, got=faults)
    if plan.backend is TensorRT:
        with writing(cache) as stream:
            stream.write(bytes(config.get_timing_cache().serialize()))
    return bytes(content)


def to_half(content: bytes, *, where: object) -> bytes:
    """A float32 graph with weights and values in float16; its inputs and outputs stay float32.

    What comes before the first layer with weights stays too: raw points are centred and subtracted there, and float16
    would round metres to millimetres before. `InputError` without such a layer or with quantisers, `GateError` where a
    weight is too large for float16 or the graph has no such form. where: names the graph in errors.
    """
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    graph = (model := ir.from_proto(proto)).graph
    network, halves = set[ir.Value](), dict[ir.Value, ir.Value]()
    for node in list(graph):
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise InputError("a graph in 8 bits has no form in float16", where=where, expected="the FP32 graph")
        layer = node.op_type in WEIGHTED and any(value is not None and value.is_initializer() for value in node.inputs)
        if not layer and not network.intersection(node.inputs):
            continue
        for place, value in enumerate(node.inputs):
            if value is None or value in network or value.dtype != ir.DataType.FLOAT:
                continue
            if value not in halves:
                halves[value] = _half_of(graph, value, where) if value.is_initializer() else _cast(graph, value, node)
            node.replace_input_with(place, halves[value])
        network.update(node.outputs)
        for value in node.outputs:
            value.dtype = ir.DataType.FLOAT16 if value.dtype == ir.DataType.FLOAT else value.dtype
    if not network:
        raise InputError("no layer with weights", where=where, expected=" or ".join(WEIGHTED))
    for place, value in enumerate(graph.outputs):
        if value.dtype == ir.DataType.FLOAT16:
            name, value.name = value.name, f"{value.name}_half"
            back = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT}, name=f"{name}_to_float")
            back.outputs[0].name, back.outputs[0].dtype, back.outputs[0].shape = name, ir.DataType.FLOAT, value.shape
            graph.append(back)
            graph.outputs[place] = back.outputs[0]
    used = {value for node in graph for value in node.inputs}
    for name in [name for name, value in graph.initializers.items() if value not in used]:
        del graph.initializers[name]
    made = ir.to_proto(model)
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError("the graph has no form in float16", where=where, got=str(error).splitlines()[0]) from error
    return bytes(made.SerializeToString(deterministic=True))


def _half_of(graph: ir.Graph, value: ir.Value, where: object) -> ir.Value:
    """A constant in float16, beside the one in float32."""
    assert value.const_value is not None
    array = value.const_value.numpy()
    if array.size and np.abs(array[np.isfinite(array)]).max(initial=0.0) > LARGEST_HALF:
        raise GateError("a weight is too large for float16", where=f"{where} › {value.name}", expected=LARGEST_HALF,
                        got=float(np.abs(array).max()))  # fmt: skip
    name = f"{value.name}_half"
    half = ir.Value(name=name, const_value=ir.tensor(array.astype(np.float16), name=name))
    half.dtype, half.shape = ir.DataType.FLOAT16, value.shape
    graph.register_initializer(half)
    return half


def _cast(graph: ir.Graph, value: ir.Value, before: ir.Node) -> ir.Value:
    """A value in float16, made before the node that reads it first."""
    cast = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT16}, name=f"{value.name}_to_half")
    half = cast.outputs[0]
    half.name, half.dtype, half.shape = f"{value.name}_half", ir.DataType.FLOAT16, value.shape
    graph.insert_before(before, cast)
    return half
