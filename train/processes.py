"""Where a training computes: several processes of one run, the device, the number format, torch.compile."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from last_edge.errors import LastEdgeError, MissingError, UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.timing import peak_process_mb

Value = TypeVar("Value")
PATIENCE = timedelta(hours=1)
BACKEND = "inductor"
PASSES = ("forward", "features_and_logits")


def is_first() -> bool:
    """Whether this process is the one that writes files and talks; true without torchrun."""
    return os.environ.get("RANK", "0") == "0"


class Processes:
    """This process among `count` that take the same steps on different clips. rank: its number from 0."""

    def __init__(self, *, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @classmethod
    def join(cls, device: str) -> Processes:
        """Meet the other processes that torchrun started; alone where it did not."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
        return cls(rank=dist.get_rank(), count=count)

    def leave(self) -> None:
        """Part from the others."""
        if self.count > 1:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process writes files and measures."""
        return self.rank == 0

    def unite(self, model: nn.Module, device: str) -> None:
        """Give every process the first one's weights, and batch norm the statistics of all their clips."""
        if self.count == 1:
            return
        for value in model.state_dict().values():
            dist.broadcast(value, 0)
        share_statistics(model, device)

    def average_gradients(self, parameters: Iterable[nn.Parameter], bad: Tensor) -> None:
        """Average gradients over the processes, in place, in one exchange; `bad` becomes true where it is for any."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients] + [bad.float().reshape(1)])
        dist.all_reduce(flat)
        bad.copy_(flat[-1] > 0)
        parts = torch.split(flat[:-1] / self.count, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is true in any process."""
        if self.count == 1:
            return flag
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        return bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What `make` gives in the first process, in all of them; what it raises there is raised in all."""
        if self.count == 1:
            return make()
        held: list[object] = [None, None]
        if self.first:
            try:
                held[0] = make()
            except LastEdgeError as error:
                held[1] = error
        dist.broadcast_object_list(held, 0)
        if isinstance(held[1], LastEdgeError):
            raise held[1]
        return held[0]  # type: ignore[return-value]


def share_statistics(model: nn.Module, device: str) -> None:
    """Replace every batch norm in place; names, parameters and buffers stay. On a GPU torch's own class does it."""
    if device.startswith("cuda"):
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, SharedBatchNorm.of(child))


class SharedBatchNorm(_BatchNorm):
    """Batch norm whose training statistics are those of all processes; torch's SyncBatchNorm wants a GPU."""

    @classmethod
    def of(cls, norm: _BatchNorm) -> SharedBatchNorm:
        """One that takes over another's parameters and buffers."""
        shared = cls(norm.num_features, eps=norm.eps, momentum=norm.momentum, affine=norm.affine)
        shared.weight, shared.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers(recurse=False):
            setattr(shared, name, buffer)
        return shared.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape, normalised by channel."""
        if not self.training:
            return super().forward(x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        wide = x.float()
        size = _sum_over_processes(wide.new_tensor([float(x.numel() // x.shape[1])]))
        mean = _sum_over_processes(wide.sum(axes)) / size
        centred = wide - _by_channel(mean, x)
        variance = _sum_over_processes((centred * centred).sum(axes)) / size
        self._remember(mean.detach(), variance.detach(), size)
        normal = centred * _by_channel(torch.rsqrt(variance + self.eps), x)
        return (normal * _by_channel(self.weight, x) + _by_channel(self.bias, x)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, size: Tensor) -> None:
        """Move the running statistics; the variance kept is the unbiased one, as in torch."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * size / (size - 1), self.momentum)


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...), to go with `like`."""
    return values.reshape(1, -1, *[1] * (like.dim() - 2))


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum_over_processes(values: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(values)  # type: ignore[no-untyped-call]
    return total


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
