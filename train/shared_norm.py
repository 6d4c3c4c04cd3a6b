"""Batch norm over the batches of all processes, so that two with half a batch each see what one with the whole sees."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


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
        """See the class."""
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """See the class."""
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum_over_processes(values: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(values)  # type: ignore[no-untyped-call]
    return total
