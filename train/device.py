"""Choosing where to compute."""

from __future__ import annotations

import os

import torch

from last_edge.errors import MissingError, UsageError


def resolve_device(name: str) -> str:
    """`auto` is the GPU where there is one; `MissingError` when cuda is asked for in vain.

    Of several processes on a machine each gets the GPU of its own number.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MissingError("no CUDA device", got=name, hint="--device cpu")
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise UsageError("unknown device", expected="auto, cpu, cuda or cuda:N", got=name)
    return name
