"""Computing a part in float32 whatever precision surrounds it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the tensor's device; tensors still have to be cast by the caller."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if is_autocast_available(kind) else nullcontext()
