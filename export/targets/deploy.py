"""`last-edge export --target`: what other runtimes need, put into a bundle beside its ONNX files.

LiteRT's file is the edge form of a run, FP32, one clip a call. litert-torch converts the folded torch model itself;
ONNX is not on the way. It wants libraries of its own and may be installed beside this package in another environment.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, InputError, MissingError, UsageError
from last_edge.export.proof.parity import MOST_FP32, same_checkpoint
from last_edge.export.proof.same import fault
from last_edge.export.targets.tensorrt import build_engine, on_device, plan_engine
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.names import check_known
from last_edge.runtime.backends.base import has_module
from last_edge.runtime.backends.litert import LiteRT
from last_edge.runtime.recognise.model import artefact_name

TENSORRT = ("tensorrt", "tensorrt-rtx")
TARGETS = (*TENSORRT, "litert")
CONVERTER = "litert_torch"
NAME = artefact_name(LiteRT, "fp32")


def known_targets(names: Sequence[str]) -> list[str]:
    """The names without repetition; `UsageError` for one that is no target, `MissingError` without its converter."""
    for name in names:
        check_known(name, TARGETS, "target")
    if "litert" in names:
        require_converter()
    return list(dict.fromkeys(names))


def add_targets(
    path: Path, run: Path, targets: Sequence[str], *, store: ClipStore | None, split: str, threads: int
) -> dict[str, Any]:
    """Add what each target takes to the bundle of a run; what was added, by target.

    tensorrt, tensorrt-rtx: with a store an INT8 graph in TensorRT's format, else the FP32 graph that is there; checked
    by the operator rules and, where it is installed, by TensorRT's parser. For RTX the engine is built, else what to
    type on the device is told. litert: a `.tflite`. Raises `GateError` when one of them does not take the graph.
    """
    said: dict[str, Any] = {}
    if store is not None and set(TENSORRT) & set(targets):
        from last_edge.export.int8.plan import Plan
        from last_edge.export.int8.quantize import QuantizeOptions
        from last_edge.export.int8.quantize_bundle import quantize_bundle

        options = QuantizeOptions(target="tensorrt")
        quantize_bundle(path, store, Plan(options=options), split=split, threads=threads)
    for target in known_targets(targets):
        if target == "litert":
            said[target] = {"file": add_litert(path, run)}
            continue
        plan = plan_engine(path, flavour=target, precision="int8" if store else "fp32")
        said[target] = {"graph": plan.source, "checked": plan.checked}
        if target == "tensorrt":
            said[target]["on the device"] = on_device(plan)
        else:
            build_engine(plan)
            said[target]["engine"] = plan.target
    return said


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


def add_litert(path: Path, run: Path) -> str:
    """Put the `.tflite` of a bundle's run into the bundle; the file's name.

    Raises `InputError` when the bundle is of another run, `GateError` when the file is more than 0.0001 off the golden
    logits of torch, `UsageError` when it is there.
    """
    bundle = Bundle.open(path)
    if NAME in bundle.manifest.files:
        raise UsageError("the bundle has this file", where=path / NAME, hint="--force to make it anew")
    checkpoint = same_checkpoint(bundle, run)
    if checkpoint.model.features is not None:
        raise UsageError("no LiteRT file of a model with a second input", where=run, hint="without --target litert")
    content = to_litert(checkpoint.model.deployed(), checkpoint.spec)
    wrong = fault(LiteRT(content)(bundle.golden.points), bundle.golden.logits["torch"], most=MOST_FP32)
    if wrong:
        raise GateError("the LiteRT file differs from its model", where=bundle.path / NAME,
                        expected=f"<= {MOST_FP32}", got=wrong)  # fmt: skip
    rewrite_bundle(bundle, bundle.manifest, files={NAME: content})
    return NAME
