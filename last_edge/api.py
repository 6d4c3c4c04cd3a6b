"""What programs call: `load` a bundle by name or path. Each call imports what it needs, so importing this is cheap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from last_edge.runtime.recognise.model import Precision
    from last_edge.runtime.recogniser import Recogniser
    from last_edge.runtime.translator import Translator


def load(
    bundle: str | Path,
    *,
    precision: Precision | None = None,
    threads: int | None = None,
    backend: str = "onnxruntime-cpu",
) -> Recogniser | Translator:
    """A bundle ready to run: a `Recogniser`, or a `Translator` where it gives sentences. Loads no torch.

    bundle: a name of the zoo, a folder or a `.last` file. precision: `fp32` or `int8`; None takes
    INT8 where the bundle has it. threads: None takes what `bench tune` found fastest, else 1. backend: what runs a
    recogniser's graph; a translator runs in ONNX Runtime on the processor.
    Raises `InputError` for an unknown name, with the nearest ones, and a damaged bundle; `UsageError` for an unknown
    backend; `MissingError` without it. Code that is type-checked calls `Recogniser.open` or `Translator.open`.
    """
    from last_edge.bundle import Bundle
    from last_edge.bundle.manifest import translates
    from last_edge.bundle.zoo import find_bundle
    from last_edge.errors import UsageError
    from last_edge.runtime.recogniser import Recogniser
    from last_edge.runtime.translator import Translator

    opened = Bundle.open(find_bundle(bundle))
    if not translates(opened.manifest):
        return Recogniser(opened, precision=precision, threads=threads, backend=backend)
    if backend != "onnxruntime-cpu":
        raise UsageError("a translator runs in ONNX Runtime on the processor", where=bundle, got=backend)
    return Translator.of(opened, precision=precision, threads=threads)
