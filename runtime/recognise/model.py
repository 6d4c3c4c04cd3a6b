"""A bundle made ready to run: its graph in a backend, and what the runtime must know to feed and read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import model_file
from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.runtime.backends import Backend, OnnxRuntimeCpu
from last_edge.runtime.recognise.artefacts import artefact_name, artefact_of, how_to_make
from last_edge.runtime.recognise.rejection import Rejection
from last_edge.runtime.recognise.settings import backend_named, open_backend, settings_of
from last_edge.skeleton.clip import Units

Precision = Literal["fp32", "int8"]
ACCEPT = "accept"


@dataclass(frozen=True)
class DeployedModel:
    """backend: raw landmarks to logits. labels: in logit order. accept: least probability of an event, if it is set.
    rejection: what its answers are worth.
    """

    name: str
    backend: Backend
    spec: InputSpec
    units: Units
    labels: tuple[str, ...]
    precision: str
    accept: float | None
    rejection: Rejection


def load_model(
    path: Path,
    *,
    precision: Precision | None = None,
    threads: int | None = None,
    backend: str = OnnxRuntimeCpu.name,
) -> DeployedModel:
    """Open a bundle, check every hash and load one of its graphs: INT8 when it has one and none is asked for.

    It runs as `bench tune` found it fastest; threads: wins over that. Raises `InputError` when the bundle is damaged or
    has no such file or one made for other input, `MissingError` without the backend.
    """
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    if manifest.units not in ("image01", "metres"):
        raise InputError("bundle in unknown units", where=path, expected="image01 or metres", got=manifest.units)
    if manifest.features is not None:
        expected, got = "a model of landmarks alone", f"one that reads {manifest.features.name!r} features as well"
        hint = "last-edge eval BUNDLE --store STORE, with features beside the store"
        raise InputError("frames have no such features", where=path, expected=expected, got=got, hint=hint)
    chosen = precision or ("int8" if "int8" in bundle.precisions else "fp32")
    loaded = load_graph(bundle, chosen, backend=backend, threads=threads)
    return DeployedModel(
        name=manifest.name,
        backend=loaded,
        spec=manifest.input,
        units=cast(Units, manifest.units),
        labels=manifest.labels,
        precision=chosen,
        accept=manifest.thresholds.get(ACCEPT),
        rejection=Rejection.of(manifest.thresholds),
    )


def load_graph(bundle: Bundle, precision: str, *, backend: str, threads: int | None = None) -> Backend:
    """What a bundle has for a backend and precision, loaded; raises as `load_model` does."""
    kind = backend_named(backend)
    graph = bundle.graph(precision) if kind.kind == "onnx" else artefact_of(bundle, kind, precision)
    if graph is None:
        where = bundle.path / artefact_name(kind, precision)
        raise InputError(f"bundle has nothing for {backend}", where=where, hint=how_to_make(kind))
    loaded = open_backend(backend, graph, settings_of(bundle.manifest, precision, threads=threads))
    check_graph(loaded, bundle, precision=precision)
    return loaded


def check_graph(backend: Backend, bundle: Bundle, *, precision: str) -> None:
    """`InputError` when a graph says that it was made for another input than the manifest's; saying nothing is fine."""
    expected = bundle.manifest.input.sha256
    got = backend.metadata.get("input_sha256", expected)
    if got != expected:
        where = bundle.path / model_file(precision)
        raise InputError("the graph was made for other input than the manifest says", where=where,
                         expected=expected, got=got)  # fmt: skip
