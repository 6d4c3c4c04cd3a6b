"""Half precision: forward and gradient stay finite, and near the float32 answer, even for the largest inputs."""

from __future__ import annotations

import pytest
import torch

from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.layers.gates import HybridGate
from last_edge.models.layers.temporal import LinearAttention
from last_edge.skeleton import Layout

MODELS = {
    "e nano": ("last_e_nano", {}),
    "e large": ("last_e_large", {"widths": (16, 24, 32)}),
    "e options": ("last_e_small", {"fusion": "softmax", "ib": "sampled", "bodies": "max", "widths": (16, 24, 32)}),
    "v2": ("last_v2_base", {"widths": (16, 24, 32), "blocks": (1, 1, 2)}),
}
CLAMP = 30.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("kind", MODELS)
def test_training_stays_finite_at_the_clamp(toy_layout: Layout, kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    name, options = MODELS[kind]
    model = create_model(name, spec=InputSpec(toy_layout, frames=16, bodies=2), classes=4, **options).train()
    streams = (100 * torch.randn(4, 2, 9, 16, 5)).clamp(-CLAMP, CLAMP)
    streams[0, 1] = 0
    with torch.autocast("cpu", dtype=dtype):
        logits = model.from_streams(streams)
    loss = torch.nn.functional.cross_entropy(logits.float(), torch.arange(4))
    extra = model.auxiliary_loss()
    (loss if extra is None else loss + 0.01 * extra).backward()
    assert torch.isfinite(logits).all()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("kind", MODELS)
def test_bfloat16_answers_like_float32(toy_layout: Layout, kind: str) -> None:
    torch.manual_seed(0)
    name, options = MODELS[kind]
    model = create_model(name, spec=InputSpec(toy_layout, frames=16, bodies=2), classes=4, **options).eval()
    torch.nn.init.normal_(model.body.head.fc.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    streams = torch.randn(4, 2, 9, 16, 5)
    with torch.no_grad():
        expected = model.from_streams(streams)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            halved = model.from_streams(streams).float()
    assert (halved - expected).abs().max() < 0.05 * (expected.max() - expected.min())


@pytest.mark.parametrize("module", [HybridGate(8), LinearAttention(8)], ids=["spectrum", "attention"])
def test_sums_and_squares_beyond_half_precision(module: torch.nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.5, 0.5)
        with torch.autocast("cpu", dtype=torch.float16):
            assert torch.isfinite(module(torch.full((1, 8, 64, 3), 3e3, dtype=torch.float16))).all()
