"""TensorRT engines: built from a bundle's graph, kept as one of its files; and what to type where they are built."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.bundle.manifest import INPUT_NAME, Figure, Manifest, model_file
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.export.targets.tensorrt_rules import parsed, require_fit
from last_edge.files import writing
from last_edge.runtime.backends.base import has_module
from last_edge.runtime.backends.tensorrt_engine import ANY_RTX, TensorRT, TensorRTForRTX, gpu_name
from last_edge.runtime.cache import cache_folder
from last_edge.runtime.recognise.model import artefact_name

FLAVOURS: dict[str, type[TensorRT]] = {backend.flavour: backend for backend in (TensorRT, TensorRTForRTX)}
INT8 = "int8-tensorrt"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What would be built: the graph, its file, what it is called in the bundle, and the clips a call may hold."""

    bundle: Bundle
    backend: type[TensorRT]
    precision: str
    most: int
    checked: str

    @property
    def source(self) -> str:
        """File the engine is built from."""
        return model_file(self.precision)

    @property
    def graph(self) -> bytes:
        """Its bytes."""
        return self.bundle.graph(self.precision)

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

    Raises `UsageError` when the engine is there and not `force`, `InputError` without such a graph, `GateError` when
    the graph breaks a rule.
    """
    bundle, backend = Bundle.open(path).recogniser(), FLAVOURS[flavour]
    chosen = precision or (INT8 if INT8 in bundle.precisions else "fp32")
    if chosen not in bundle.precisions:
        hint = "last-edge quantize BUNDLE --store STORE --target tensorrt"
        raise InputError(f"bundle has no {chosen} graph", where=path, expected=", ".join(bundle.precisions), hint=hint)
    target = artefact_name(backend, chosen)
    if target in bundle.manifest.files and not force:
        raise UsageError("the bundle has this engine", where=path / target, hint="--force to build it anew")
    checked = require_fit(bundle.graph(chosen), where=path / model_file(chosen))
    return Plan(bundle, backend, chosen, most, checked)


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
        "flavour": plan.backend.flavour,
        "version": plan.backend.version(),
        "precision": plan.precision,
        "gpu": gpu_name() if plan.backend is TensorRT else ANY_RTX,
        "source": plan.source,
        "source_sha256": hashlib.sha256(plan.graph).hexdigest(),
    }
    manifest = dataclasses.replace(manifest, engines={**manifest.engines, plan.target: built})
    return rewrite_bundle(bundle, manifest, files={plan.target: content})


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
    cache = _timing_cache(config, plan.backend) if plan.backend is TensorRT else None
    content = builder.build_serialized_network(network, config)
    if content is None:
        faults = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise InputError("TensorRT could not build the engine", where=plan.bundle.path / plan.source, got=faults)
    if cache is not None:
        _keep(config, cache)
    return bytes(content)


def _timing_cache(config: Any, backend: type[TensorRT]) -> Path:
    """Start from the kernels timed before on this machine with this version; where they are kept."""
    path = cache_folder() / "engines" / f"timing-{backend.version()}-{gpu_name().replace(' ', '-')}.cache"
    config.set_timing_cache(config.create_timing_cache(path.read_bytes() if path.is_file() else b""), False)
    return path


def _keep(config: Any, path: Path) -> None:
    with writing(path) as stream:
        stream.write(bytes(config.get_timing_cache().serialize()))
