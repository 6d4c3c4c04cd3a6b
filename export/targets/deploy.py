"""`last-edge export --target`: what other runtimes need, put into a bundle beside its ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError
from last_edge.export.targets.tensorrt import INT8, build_engine, on_device, plan_engine
from last_edge.names import did_you_mean

TENSORRT = ("tensorrt", "tensorrt-rtx")
TARGETS = (*TENSORRT, "litert")


def known_targets(names: Sequence[str]) -> list[str]:
    """The names without repetition; `UsageError` for one that is no target, `MissingError` without its converter."""
    for name in names:
        if name not in TARGETS:
            raise UsageError(f"unknown target {name!r}", expected=did_you_mean(name, TARGETS))
    if "litert" in names:
        from last_edge.export.targets.litert import require_converter

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
        _quantise(path, store, split=split, threads=threads)
    for target in known_targets(targets):
        said[target] = _litert(path, run) if target == "litert" else _tensorrt(path, target, INT8 if store else "fp32")
    return said


def _quantise(path: Path, store: ClipStore, *, split: str, threads: int) -> None:
    from last_edge.export.int8.plan import Plan
    from last_edge.export.int8.quantize import QuantizeOptions
    from last_edge.export.int8.quantize_bundle import quantize_bundle

    plan = Plan(options=QuantizeOptions(target="tensorrt"))
    quantize_bundle(path, store, plan, split=split, threads=threads)


def _tensorrt(path: Path, flavour: str, precision: str) -> dict[str, Any]:
    plan = plan_engine(path, flavour=flavour, precision=precision)
    said = {"graph": plan.source, "checked": plan.checked}
    if flavour == "tensorrt":
        return {**said, "on the device": on_device(plan)}
    build_engine(plan)
    return {**said, "engine": plan.target}


def _litert(path: Path, run: Path) -> dict[str, Any]:
    from last_edge.export.targets.litert import add_litert

    return {"file": add_litert(path, run)}
