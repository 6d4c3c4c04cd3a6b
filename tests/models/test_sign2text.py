"""The translator: its size, and what may and may not change its answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model, resolve_name
from last_edge.models.sign2text import Sign2Text, create_translator
from last_edge.skeleton import Layout, get_layout

SMALL = {"width": 32, "heads": 4, "hidden": 64, "longest": 12}
TOKENS = 20


def small(layout: Layout, **options: object) -> Sign2Text:
    torch.manual_seed(0)
    spec = InputSpec(layout, frames=60, resample="pad", scale="limb")
    return create_translator("sign2text_v4", spec=spec, tokens=TOKENS, **(SMALL | options)).eval()


def clips(layout: Layout, frames: int = 23, count: int = 2) -> Tensor:
    return torch.randn(count, frames, layout.joints, 3, generator=torch.Generator().manual_seed(1))


def padded(points: Tensor, frames: int) -> Tensor:
    return torch.cat([points, torch.full_like(points[:, :1], torch.nan).expand(-1, frames, -1, -1)], dim=1)


WORDS = torch.tensor([[2, 5, 6, 7, 8], [2, 9, 4, 0, 0]])
KINDS = [{}, {"stride": 4}, {"stride": 2, "tied": True}, {"seen": True}]


def test_the_published_settings_have_the_published_count() -> None:
    spec = InputSpec(get_layout("openpose137"), frames=200, channels=2, streams=("joint",), resample="pad")
    with torch.device("meta"):
        model = create_translator("sign2text_v4", spec=spec, tokens=4000, seen=True)
    assert sum(p.numel() for p in model.parameters()) == 5_844_896


@pytest.mark.parametrize("options", KINDS)
@torch.inference_mode()
def test_padding_changes_nothing_and_every_real_frame_something(toy_layout: Layout, options: dict[str, object]) -> None:
    model, points = small(toy_layout, **options), clips(toy_layout)
    logits = model(points, WORDS)
    for extra in (1, 2, 3, 17):
        assert torch.allclose(model(padded(points, extra), WORDS), logits, atol=2e-6)
    for frame in range(points.shape[1]):
        moved = points.clone()
        moved[0, frame, 3] += 1.0
        changed = (model(moved, WORDS) - logits).abs().amax(dim=(1, 2))
        assert changed[0] > 1e-4
        assert changed[1] == 0


@pytest.mark.parametrize("options", KINDS)
@torch.inference_mode()
def test_a_word_sees_those_before_it_and_none_after(toy_layout: Layout, options: dict[str, object]) -> None:
    model, points = small(toy_layout, **options), clips(toy_layout)
    logits = model(points, WORDS)
    for place in range(1, WORDS.shape[1]):
        other = WORDS.clone()
        other[:, place] = 11
        changed = (model(points, other) - logits).abs().amax(dim=(0, 2))
        assert (changed[:place] < 1e-6).all()
        assert (changed[place:] > 1e-4).all()


@pytest.mark.parametrize("options", KINDS)
@torch.inference_mode()
def test_word_by_word_is_the_same_as_all_at_once(toy_layout: Layout, options: dict[str, object]) -> None:
    model, points = small(toy_layout, **options), clips(toy_layout)
    memory = model.encode(points)
    whole, past = model.decode(WORDS, memory), (model.no_past(2), model.no_past(2))
    for place in range(WORDS.shape[1]):
        logits, *kept = model.step(WORDS[:, place], torch.tensor([place]), past, memory)
        past = (kept[0], kept[1])
        assert torch.allclose(logits, whole[:, place], atol=1e-5)


@torch.inference_mode()
def test_a_frame_in_which_nothing_is_seen_is_padding_too(toy_layout: Layout) -> None:
    model, points = small(toy_layout), clips(toy_layout)
    points[:, 7] = torch.nan
    _, shown = model.features(points)
    assert shown.sum(1).tolist() == [22.0, 22.0]
    assert torch.isfinite(model(points, WORDS)).all()
    assert torch.isfinite(model(torch.full_like(points, torch.nan), WORDS)).all()


def test_faults(toy_layout: Layout) -> None:
    for options in ({"heads": 5}, {"stride": 3}, {"layers": 0}, {"nothing": 1}):
        with pytest.raises(UsageError):
            small(toy_layout, **options)
    assert resolve_name("sign2text_v4") == "sign2text_v4"
    with pytest.raises(UsageError, match="sentences, not classes"):
        create_model("sign2text_v4", spec=InputSpec(toy_layout), classes=3)
