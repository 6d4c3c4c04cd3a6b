"""LiteRT: the edge form of a run as a `.tflite` file in its bundle, FP32, one clip a call.

litert-torch converts the folded torch model itself; ONNX is not on the way. It wants libraries of its own and may be
installed beside this package in another environment.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.errors import GateError, InputError, MissingError, UsageError
from last_edge.export.proof.matrix import MOST_FP32
from last_edge.export.proof.parity import same_checkpoint
from last_edge.export.proof.same import fault
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.runtime.backends.base import has_module
from last_edge.runtime.backends.litert import LiteRT
from last_edge.runtime.recognise.model import artefact_name

CONVERTER = "litert_torch"
NAME = artefact_name(LiteRT, "fp32")


def why_not() -> str:
    """Why nothing can be converted here; empty when it can."""
    return "" if has_module(CONVERTER) else "litert-torch is not installed"


def require_converter() -> None:
    """`MissingError` without the converter."""
    if reason := why_not():
        raise MissingError(reason, hint="pip install 'last-edge[litert-convert]'")


def to_litert(edge: LandmarkModel, spec: InputSpec) -> bytes:
    """`.tflite` bytes of a deployed model; `MissingError` without the converter, `InputError` when it fails."""
    require_converter()
    import litert_torch
    import torch

    try:
        converted = litert_torch.convert(edge.eval(), (torch.zeros(1, *spec.shape),))
    except Exception as error:  # the converter raises whatever its passes meet
        raise InputError("LiteRT cannot convert this model", got=str(error).split("\n")[0]) from error
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.tflite")
        converted.export(str(file))
        return file.read_bytes()


def add_litert(path: Path, run: Path, *, force: bool = False) -> str:
    """Put the `.tflite` of a bundle's run into the bundle; the file's name.

    Raises `InputError` when the bundle is of another run, `GateError` when the file is more than 0.0001 off the golden
    logits of torch, `UsageError` when it is there and not `force`.
    """
    bundle = Bundle.open(path)
    if NAME in bundle.manifest.files and not force:
        raise UsageError("the bundle has this file", where=path / NAME, hint="--force to make it anew")
    checkpoint = same_checkpoint(bundle, run)
    if checkpoint.model.features is not None:
        raise UsageError("no LiteRT file of a model with a second input", where=run, hint="without --target litert")
    content = to_litert(checkpoint.model.deployed(), checkpoint.spec)
    check_litert(bundle, content)
    rewrite_bundle(bundle, bundle.manifest, files={NAME: content})
    return NAME


def check_litert(bundle: Bundle, content: bytes) -> None:
    """`GateError` when a file does not give the golden logits of torch, `MissingError` without LiteRT."""
    wrong = fault(LiteRT(content)(bundle.golden.points), bundle.golden.logits["torch"], most=MOST_FP32)
    if wrong:
        raise GateError("the LiteRT file differs from its model", where=bundle.path / NAME,
                        expected=f"<= {MOST_FP32}", got=wrong)  # fmt: skip
