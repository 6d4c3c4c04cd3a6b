"""Several processes that train one model together, started by torchrun; alone, nothing here does anything.

torch.distributed is used directly. Wrappers such as accelerate's or torch's DistributedDataParallel average gradients
behind the wrapped module's `forward`; an objective here calls parts of the model, and may hold a second one to learn
from. They also bring their own sampling and seeding, while here both follow from (seed, epoch, step) so that a run
resumes to the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from last_edge.errors import LastEdgeError

Value = TypeVar("Value")
PATIENCE = timedelta(hours=1)


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
