"""LAST-Edge: skeleton recognition from training to an INT8 model on an edge device.

    from last_edge import load

    model = load("last_lite_nano_shrec14")         # a name of the zoo, a folder or a .last file
    print(model.predict(points, fps=30).best)      # points (T, V, C), NaN where missing

Every name below is loaded when it is first used: importing the package costs milliseconds and never loads torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from last_edge.api import export, load, quantize, train
    from last_edge.clips.store import ClipStore
    from last_edge.runtime.pipeline.pipeline import Item
    from last_edge.runtime.recognise.decoding import Event, Guess, Prediction
    from last_edge.runtime.recognise.stream import RecogniseOptions, Stream
    from last_edge.runtime.recogniser import Recogniser
    from last_edge.runtime.sources import ImageOptions
    from last_edge.runtime.translator import Translation, Translator
    from last_edge.tools.teach.options import TeachOptions
    from last_edge.tools.teach.teacher import Teacher

# From release 1.29 on ONNX Runtime reports its use to its maker; where it reads this before it starts, it does not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"
__all__ = [
    "ClipStore", "Event", "Guess", "ImageOptions", "Item", "Prediction", "RecogniseOptions", "Recogniser", "Stream",
    "TeachOptions", "Teacher", "Translation", "Translator", "export", "load", "quantize", "train",
]  # fmt: skip

_HOME = {
    "ClipStore": "last_edge.clips.store",
    "Event": "last_edge.runtime.recognise.decoding",
    "Guess": "last_edge.runtime.recognise.decoding",
    "ImageOptions": "last_edge.runtime.sources",
    "Item": "last_edge.runtime.pipeline.pipeline",
    "Prediction": "last_edge.runtime.recognise.decoding",
    "RecogniseOptions": "last_edge.runtime.recognise.stream",
    "Recogniser": "last_edge.runtime.recogniser",
    "Stream": "last_edge.runtime.recognise.stream",
    "TeachOptions": "last_edge.tools.teach.options",
    "Teacher": "last_edge.tools.teach.teacher",
    "Translation": "last_edge.runtime.translator",
    "Translator": "last_edge.runtime.translator",
    "load": "last_edge.api",
    "quantize": "last_edge.api",
}
_CALLABLE = ("export", "train")


def __getattr__(name: str) -> Any:
    """A public name, from the module that holds it (PEP 562); `train` and `export` are packages that can be called."""
    if name in _CALLABLE:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
