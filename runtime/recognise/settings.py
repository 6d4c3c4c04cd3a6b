"""How a bundle's graph runs fastest: found by `last-edge bench tune`, kept in the manifest, used unless overruled."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from last_edge.bundle.manifest import Figure, Manifest
from last_edge.errors import InputError, UsageError
from last_edge.names import did_you_mean
from last_edge.runtime.backends import BACKENDS, Backend, OnnxRuntimeCpu
from last_edge.runtime.backends.onnxruntime_session import Buffers, OrtOptions


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
    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}", expected=did_you_mean(name, BACKENDS))
    return BACKENDS[name]


def open_backend(name: str, model: Path | bytes, settings: Settings | None = None) -> Backend:
    """A model loaded in a backend. Raises `UsageError`, `MissingError` and `InputError` as they do."""
    kind, settings = backend_named(name), settings or Settings()
    if kind is OnnxRuntimeCpu:
        return OnnxRuntimeCpu(model, threads=settings.threads, options=settings.options)
    return kind(model, threads=settings.threads)
