"""Which file of a bundle a backend runs."""

from __future__ import annotations

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import model_file
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
    """Its bytes; None when the bundle has no such file."""
    return bundle.contents.get(artefact_name(backend, precision))


def how_to_make(backend: type[Backend]) -> str:
    """The command that brings what a backend runs into a bundle."""
    return MAKES[backend.kind].format(name=backend.name)
