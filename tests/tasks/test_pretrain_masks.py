"""Masks of pre-training: whole regions for whole blocks, as many as asked, and those that matter where a guide says."""

from __future__ import annotations

import pytest
import torch

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.skeleton import Layout, get_layout, layout_names
from last_edge.skeleton.layout import body_regions
from last_edge.tasks.maskclr import CellMasks, check_guide, saliency_of

GUIDES = ("norm", "gradient", "attention")


def cells(hidden: torch.Tensor, layout: Layout, blocks: torch.Tensor) -> torch.Tensor:
    """(N, R, B) share of each cell's points that is hidden."""
    rows = [hidden[:, :, list(joints)].float().mean(2) for joints in body_regions(layout).values()]
    by_region = torch.stack(rows, dim=1)
    return torch.stack([by_region[:, :, blocks == block].mean(2) for block in blocks.unique()], dim=2)


@pytest.mark.parametrize("ratio", [0.3, 0.6])
@pytest.mark.parametrize("name", layout_names())
def test_whole_regions_are_hidden_at_the_asked_ratio(name: str, ratio: float) -> None:
    torch.manual_seed(0)
    layout, frames, count = get_layout(name), 60, 7
    masks = CellMasks(layout, frames=frames, blocks=count, ratio=ratio)
    hidden = masks(masks.at_random(50))
    shares = cells(hidden, layout, torch.arange(frames) * count // frames)
    assert set(shares.unique().tolist()) == {0.0, 1.0}
    largest = max(map(len, body_regions(layout).values())) * -(-frames // count) / (frames * layout.joints)
    assert (hidden.float().mean((1, 2)) - ratio).abs().max() <= largest / 2 + 1e-6
    assert shares.mean(0).min() > 0
    assert not torch.equal(hidden[0], hidden[1])


def test_more_blocks_than_frames_are_refused(toy_layout: Layout) -> None:
    with pytest.raises(UsageError, match=r"pretrain\.blocks"):
        CellMasks(toy_layout, frames=4, blocks=5, ratio=0.5)


def test_salient_cells_are_hidden_in_proportion(toy_layout: Layout) -> None:
    torch.manual_seed(0)
    masks = CellMasks(toy_layout, frames=16, blocks=4, ratio=0.01)
    saliency = torch.zeros(4000, 16, 5)
    saliency[:, :4, 1], saliency[:, 4:8, 2] = 3.0, 1.0
    first = masks.by_saliency(saliency).flatten(1).argmax(1)
    left, right = (first == 1 * 4 + 0).float().mean(), (first == 2 * 4 + 1).float().mean()
    assert float(left) == pytest.approx(0.75, abs=0.03)
    assert float(left + right) == pytest.approx(1.0)


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("bodies", [1, 2])
def test_saliency_is_told_for_every_point_and_leaves_no_trace(toy_layout: Layout, guide: str, bodies: int) -> None:
    torch.manual_seed(0)
    model = create_model("last_e_nano", spec=InputSpec(toy_layout, frames=16, bodies=bodies), classes=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    streams = torch.randn(4, 9, 16, 5) if bodies == 1 else torch.randn(4, 2, 9, 16, 5)
    look = saliency_of(guide)
    assert look is not None
    saliency = look(model.train(), streams)
    assert saliency.shape == (4, 16, 5) and float(saliency.min()) >= 0 and float(saliency.max()) > 0
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_gradient_finds_the_joint_that_the_feature_depends_on(toy_layout: Layout) -> None:
    model = create_model("last_e_nano", spec=InputSpec(toy_layout, frames=16), classes=3)
    look = saliency_of("gradient")
    assert look is not None

    def only_joint_3(streams: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        return [streams[:, :, :, 3:4]], streams

    model.features_and_logits = only_joint_3  # type: ignore[assignment, method-assign]
    saliency = look(model, torch.randn(2, 9, 16, 5))
    assert float(saliency[:, :, 3].min()) > 0
    assert float(saliency[:, :, [0, 1, 2, 4]].max()) == 0


def test_attention_needs_a_model_that_has_it(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=16)
    with pytest.raises(UsageError, match="joint attention") as error:
        check_guide("attention", create_model("last_lite_nano", spec=spec, classes=3))
    assert "norm" in error.value.render()
    for guide in ("random", "norm", "gradient"):
        check_guide(guide, create_model("last_lite_nano", spec=spec, classes=3))
    check_guide("attention", create_model("last_e_nano", spec=spec, classes=3))
