"""A bundle made ready to run: its graph in a backend, and what the runtime must know to feed and read it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.bundle import Bundle
from last_edge.bundle.manifest import GOLDEN, SPANS, Figure, Manifest, model_file
from last_edge.errors import InputError, MissingError
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.names import check_known
from last_edge.runtime.backends import BACKENDS, Backend, OnnxRuntimeCpu
from last_edge.runtime.backends.onnxruntime import Buffers, OrtOptions
from last_edge.runtime.backends.stepper import Stepper
from last_edge.runtime.recognise.spans import SpanRules

# What makes a file that is not there, by the kind of file.
MAKES = {
    "onnx": "last-edge quantize BUNDLE --store STORE",
    "tflite": "last-edge export RUN --out BUNDLE --target litert",
    "engine": "last-edge engine BUNDLE --flavour {name}",
}
Precision = Literal["fp32", "fp16", "int8"]
INT8_TENSORRT = "int8-tensorrt"
"""8 bits as TensorRT takes them: the graph that an INT8 engine is built from."""
ACCEPT = "accept"


@dataclass(frozen=True)
class Settings:
    """threads: of the model. options: of ONNX Runtime on the processor; other backends have none."""

    threads: int = 1
    options: OrtOptions = field(default_factory=OrtOptions)

    def to_figures(self) -> dict[str, Figure]:
        """As a manifest holds them."""
        options = self.options
        return {"threads": self.threads, "spin": int(options.spin), "arena": int(options.arena),
                "buffers": options.buffers}  # fmt: skip

    def describe(self) -> str:
        """What is not as usual, in words; empty when all is."""
        options, usual = self.options, OrtOptions()
        said = {
            "spin": options.spin != usual.spin,
            "no arena": options.arena != usual.arena,
            f"{options.buffers} buffers": options.buffers != usual.buffers,
        }
        return ", ".join(words for words, unusual in said.items() if unusual)


def settings_of(manifest: Manifest, precision: str, *, threads: int | None = None) -> Settings:
    """The bundle's own settings for a precision, else the usual; its threads are never more than there are cores.

    threads: wins over the bundle's. `InputError` when the manifest's are none that this version knows.
    """
    tuned = manifest.tuned.get(precision)
    if tuned is None:
        return Settings(1 if threads is None else threads)
    buffers, most = tuned.get("buffers"), tuned.get("threads")
    if buffers not in get_args(Buffers) or not isinstance(most, int) or most < 1:
        raise InputError("unknown settings in the manifest", where=f"{manifest.name} › tuned › {precision}", got=tuned,
                         hint="last-edge bench tune BUNDLE")  # fmt: skip
    options = OrtOptions(bool(tuned.get("spin")), bool(tuned.get("arena", 1)), cast(Buffers, buffers))
    return Settings(min(most, os.cpu_count() or 1) if threads is None else threads, options)


def backend_named(name: str) -> type[Backend]:
    """A backend of the table; `UsageError` with the nearest names when there is none."""
    check_known(name, BACKENDS, "backend")
    return BACKENDS[name]


def open_backend(name: str, model: Path | bytes, settings: Settings | None = None) -> Backend:
    """A model loaded in a backend. Raises `UsageError`, `MissingError` and `InputError` as they do."""
    kind, settings = backend_named(name), settings or Settings()
    if kind is OnnxRuntimeCpu:
        return OnnxRuntimeCpu(model, threads=settings.threads, options=settings.options)
    return kind(model, threads=settings.threads)


def open_stepper(
    bundle: Bundle, graph: bytes, settings: Settings | None = None, *, backend: str = OnnxRuntimeCpu.name
) -> Stepper:
    """A stream's graph in a backend; `InputError` where its state is not the manifest's. Raises as `Stepper` does."""
    settings, stream = settings or Settings(), bundle.manifest.stream
    assert stream is not None
    options = settings.options if backend == OnnxRuntimeCpu.name else None
    stepper = Stepper(graph, threads=settings.threads, options=options, backend=backend)
    expected = {tensor.name: tensor.shape for tensor in stream.state}
    if stepper.state_shapes != expected:
        raise InputError("the graph's state is not the manifest's", where=bundle.path, expected=expected,
                         got=stepper.state_shapes, hint="last-edge verify BUNDLE")  # fmt: skip
    return stepper


def span_rules(bundle: Bundle) -> SpanRules | None:
    """By which rules a stream's answers become gestures; None where the bundle has none."""
    if SPANS not in bundle.contents:
        return None
    plain = records.parse_json(bundle.contents[SPANS], where=bundle.path / SPANS)
    rules, labels = records.from_dict(SpanRules, plain, where=bundle.path / SPANS), bundle.manifest.labels
    if rules.labels != labels[: len(rules.labels)] or len(rules.labels) != len(labels) - 1:
        raise InputError("rules for other labels", where=bundle.path / SPANS, expected=labels[:-1], got=rules.labels)
    return rules


def artefact_name(backend: type[Backend], precision: str) -> str:
    """The file that a backend runs for a precision."""
    if backend.kind == "onnx":
        return model_file(precision)
    return f"{backend.name}.{precision}.{backend.kind}"


def precision_for(backend: type[Backend], precision: str) -> str:
    """Which 8 bits `int8` means to a backend: a TensorRT engine is built from a graph of its own."""
    return INT8_TENSORRT if backend.kind == "engine" and precision == "int8" else precision


def usual_precision(bundle: Bundle, backend: str) -> str:
    """The precision that runs where none is asked for: the fewest bits that the bundle has for a backend, else fp32."""
    kind = backend_named(backend)
    names = {name: artefact_name(kind, precision_for(kind, name)) for name in ("int8", "fp16")}
    return next((name for name, file in names.items() if file in bundle.contents), "fp32")


def artefact_of(bundle: Bundle, backend: type[Backend], precision: str) -> bytes | None:
    """Its bytes; None when the bundle has no such file.

    `MissingError` with the command that builds it anew when it is an engine of another version or GPU, or of a graph
    that the bundle no longer holds.
    """
    name = artefact_name(backend, precision)
    if backend.kind == "engine" and name in bundle.contents:
        _check_engine(bundle, backend, name)
    return bundle.contents.get(name)


def stale(bundle: Bundle, name: str) -> bool:
    """Whether an engine was built from another graph than the bundle's."""
    built = bundle.manifest.engines.get(name, {})
    return built.get("source_sha256") != bundle.manifest.files.get(str(built.get("source")), "")


def _check_engine(bundle: Bundle, backend: type[Backend], name: str) -> None:
    built, hint = bundle.manifest.engines.get(name, {}), f"{how_to_make(backend)} --force"
    here, made = backend.version(), str(built.get("version"))
    if stale(bundle, name):
        raise MissingError("the engine was built from another graph", where=bundle.path / name, hint=hint)
    if made != here:
        raise MissingError("the engine is of another version", where=bundle.path / name, expected=here, got=made,
                           hint=hint)  # fmt: skip
    if not backend.runs_on(str(built.get("gpu"))):
        raise MissingError("the engine is of another GPU", where=bundle.path / name, got=built.get("gpu"), hint=hint)


def how_to_make(backend: type[Backend]) -> str:
    """The command that brings what a backend runs into a bundle."""
    return MAKES[backend.kind].format(name=backend.name)


def load_graph(bundle: Bundle, precision: str, *, backend: str, threads: int | None = None) -> Backend:
    """What a bundle has for a backend and precision, loaded; raises as `load_model` does."""
    kind = backend_named(backend)
    precision = precision_for(kind, precision)
    graph = bundle.graph(precision) if kind.kind == "onnx" else artefact_of(bundle, kind, precision)
    if graph is None:
        where = bundle.path / artefact_name(kind, precision)
        raise InputError(f"bundle has nothing for {backend}", where=where, hint=how_to_make(kind))
    settings = settings_of(bundle.manifest, precision, threads=threads)
    if bundle.manifest.stream is None:
        loaded = open_backend(backend, graph, settings)
    else:
        loaded = open_stepper(bundle, graph, settings, backend=backend)
    check_graph(loaded, bundle, precision=precision)
    where = bundle.path / artefact_name(kind, precision)
    check_answer(loaded, probe(bundle), classes=len(bundle.manifest.labels), where=where)
    return loaded


def check_graph(backend: Backend, bundle: Bundle, *, precision: str) -> None:
    """`InputError` when a graph says that it was made for another input than the manifest's; saying nothing is fine."""
    expected = bundle.manifest.input.sha256
    got = backend.metadata.get("input_sha256", expected)
    if got != expected:
        where = bundle.path / model_file(precision)
        raise InputError("the graph was made for other input than the manifest says", where=where,
                         expected=expected, got=got)  # fmt: skip


def probe(bundle: Bundle) -> Inputs:
    """One clip to try a bundle's graph with: its first golden one, or made points where it has none."""
    if GOLDEN in bundle.contents:
        return {name: array[:1] for name, array in bundle.golden.inputs.items()}
    spec = bundle.manifest.input
    bodies = (spec.bodies,) if spec.bodies > 1 else ()
    shape = (1, *bodies, spec.frames, spec.layout.joints, spec.channels)
    return {LANDMARKS: np.random.default_rng(0).random(shape, np.float32)}


def check_answer(backend: Backend, inputs: Inputs, *, classes: int, where: object) -> None:
    """Hold a graph to its manifest before it is used: `InputError` unless it answers one clip, and with finite logits.

    inputs: of one clip. classes: how many labels the manifest has. A graph that fails or does not end is named as well.
    """
    try:
        logits = backend.first_run(inputs)
    except InputError as error:
        raise InputError(error.what, where=where, expected=error.expected, got=error.got) from error
    check_logits(logits, (1, classes), where=where)


def check_logits(logits: NDArray[np.float32], shape: tuple[int, int], *, where: object) -> None:
    """`InputError` unless logits are (clips, labels) finite numbers."""
    hint = "last-edge verify BUNDLE"
    if logits.shape != shape:
        raise InputError("the graph's logits are not one for each label", where=where, expected=shape,
                         got=logits.shape, hint=hint)  # fmt: skip
    if not np.isfinite(logits).all():
        got = f"NaN or infinity for {int((~np.isfinite(logits)).any(1).sum())} of {len(logits)} clips"
        raise InputError("the graph's logits are not finite", where=where, got=got, hint=hint)
