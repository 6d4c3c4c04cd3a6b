"""Where and how to compute: the device, the number format, and the body through torch.compile where wanted."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import torch

from last_edge.errors import MissingError, UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.timing import peak_process_mb
from last_edge.train.processes import Processes

BACKEND = "inductor"
PASSES = ("forward", "features_and_logits")


def resolve_device(name: str) -> str:
    """`auto` is the GPU where there is one, CUDA's or Apple's; `MissingError` when one is asked for in vain.

    Of several processes on a machine each gets the GPU of its own number.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MissingError("no CUDA device", got=name, hint="--device cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise MissingError("no Apple GPU that torch can use", got=name, hint="--device cpu")
    if name.split(":")[0] not in ("cpu", "cuda", "mps"):
        raise UsageError("unknown device", expected="auto, cpu, cuda, cuda:N or mps", got=name)
    return name


def resolve_amp(amp: str, device: str) -> torch.dtype:
    """The number format of the forward pass; `auto` is fp16 on a GPU and float32 on a CPU."""
    on_gpu = device.startswith("cuda")
    if amp == "fp16" and not on_gpu:
        raise UsageError("training.amp=fp16 needs a GPU", got=device, hint="--set training.amp=bf16")
    named = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return named.get(amp, torch.float16 if on_gpu else torch.float32)


def peak_memory(device: str) -> dict[str, int]:
    """MB held at most since the process began, by itself and on its GPU; nothing where the system does not tell."""
    held = peak_process_mb()
    peak = {} if held is None else {"process_mb": round(held)}
    if device.startswith("cuda"):
        peak["gpu_mb"] = torch.cuda.max_memory_allocated(device) // 2**20
    elif device == "mps":
        peak["gpu_mb"] = torch.mps.driver_allocated_memory() // 2**20
    return peak


def compile_body(model: LandmarkModel, *, device: str, processes: Processes) -> None:
    """Compile the body's passes in place; parameter names, and with them checkpoints, stay as they are.

    Compiling itself happens in the first step. Raises `MissingError` where nothing can compile, `UsageError` for
    several processes, whose batch norms meet inside the body.
    """
    lacking = what_lacks(device)
    hint = "--set training.compile=false"
    if lacking is not None:
        raise MissingError("training.compile cannot work here", got=lacking, hint=hint)
    if processes.count > 1:
        raise UsageError("training.compile is for one process", got=f"{processes.count} processes", hint=hint)
    for name in PASSES:
        if hasattr(model.body, name):
            setattr(model.body, name, torch.compile(getattr(model.body, name), backend=BACKEND, dynamic=False))


def what_lacks(device: str) -> str | None:
    """What torch.compile needs and this machine has not; None where it can work."""
    if device.startswith("cuda") and find_spec("triton") is None:
        return "triton is not installed"
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if sys.platform != "win32" and shutil.which(compiler) is None:
        return f"no C++ compiler: {compiler} (the variable CXX names another)"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return None if header.exists() else f"Python's headers are not installed: {header.name}"


def uncompiled() -> AbstractContextManager[object]:
    """A context in which compiled passes run as written: batches of other sizes are not worth compiling for."""
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance
