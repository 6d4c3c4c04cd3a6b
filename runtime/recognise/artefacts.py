"""Which file of a bundle a backend runs."""

from __future__ import annotations

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import model_file
from last_edge.errors import MissingError
from last_edge.runtime.backends import Backend

# What makes a file that is not there, by the kind of file.
MAKES = {
    "onnx": "last-edge quantize BUNDLE --store STORE",
    "tflite": "last-edge export RUN --out BUNDLE --target litert",
    "engine": "last-edge engine BUNDLE --flavour {name}",
}


def artefact_name(backend: type[Backend], precision: str) -> str:
    """The file that a backend runs for a precision."""
    if backend.kind == "onnx":
        return model_file(precision)
    return f"{backend.name}.{precision}.{backend.kind}"


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
