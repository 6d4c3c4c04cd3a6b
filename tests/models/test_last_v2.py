"""LAST-v2: log-probabilities of a mean over streams, bodies that are there, graphs that can learn."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.gcn import AdaptiveGraphConv, column_partition, similarity, symmetric
from last_edge.models.layers.temporal import LinearAttention
from last_edge.skeleton import Layout, get_layout, layout_names

TINY = {"widths": (16, 24, 32), "blocks": (1, 2, 1)}


def tiny(layout: Layout, *, bodies: int = 1, **options: object) -> LandmarkModel:
    """A narrow LAST-v2 whose classifier and norms have something to say."""
    torch.manual_seed(3)
    spec = InputSpec(layout, frames=16, bodies=bodies)
    model = create_model("last_v2_small", spec=spec, classes=4, **TINY, **options)
    torch.nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
    return model.eval()


def test_softmax_of_the_output_is_the_mean_probability_of_the_streams(toy_layout: Layout) -> None:
    model = tiny(toy_layout)
    points = torch.randn(3, *model.spec.shape)
    parts = model.front(points).chunk(3, dim=1)
    with torch.no_grad():
        each = [model.body.head(model.body.stages(n(x))) for n, x in zip(model.body.norms, parts, strict=True)]  # type: ignore[union-attr, operator, arg-type]
        expected = torch.stack(each).softmax(-1).mean(0)
        output = model(points)
    torch.testing.assert_close(output.exp(), expected)
    torch.testing.assert_close(output.softmax(-1), expected)


def test_an_absent_second_body_changes_nothing_and_a_present_one_counts(toy_layout: Layout) -> None:
    one, two = tiny(toy_layout), tiny(toy_layout, bodies=2)
    two.load_state_dict(one.state_dict())
    points = torch.randn(3, 2, *one.spec.shape)
    alone = points.clone()
    alone[:, 1] = torch.nan
    with torch.no_grad():
        torch.testing.assert_close(two(alone), one(points[:, 0]))
        assert (two(points) - two(alone)).abs().max() > 1e-3


@pytest.mark.parametrize(("how", "either_way"), [("mean", True), ("max", True), ("first", False)])
def test_which_bodies_count(toy_layout: Layout, how: str, either_way: bool) -> None:
    spec = InputSpec(toy_layout, frames=16, bodies=2)
    model = create_model("last_v2_small", spec=spec, classes=4, bodies=how, **TINY).eval()
    torch.nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    streams = torch.randn(3, 2, 9, 16, 5)
    with torch.no_grad():
        same = torch.allclose(model.from_streams(streams), model.from_streams(streams.flip(1)), atol=1e-5)
    assert same == either_way


def test_a_clip_without_any_body_is_answered(toy_layout: Layout) -> None:
    model = tiny(toy_layout, bodies=2)
    assert torch.isfinite(model(torch.full((2, *model.spec.shape), torch.nan))).all()


@pytest.mark.parametrize("name", layout_names())
def test_fixed_graphs_average_over_neighbours(name: str) -> None:
    graphs = column_partition(get_layout(name))
    assert graphs.shape[0] == 3
    np.testing.assert_allclose(graphs.sum((0, 1)), 1.0, rtol=1e-6)


def test_the_learned_graph_starts_at_nothing_and_can_learn(toy_layout: Layout) -> None:
    conv = AdaptiveGraphConv(3, 8, fixed=column_partition(toy_layout))
    conv(torch.randn(2, 3, 6, 5)).square().sum().backward()
    assert symmetric(conv.A_learned).abs().max() == 0
    assert conv.A_learned.grad is not None and (conv.A_learned.grad != 0).all()


def test_the_learned_graph_is_normalised_once_it_has_grown() -> None:
    weights = 4 * torch.randn(5, 5)
    size = weights.abs()
    expected = size / (size.sum(1, keepdim=True) * size.sum(0, keepdim=True)).sqrt()
    torch.testing.assert_close(symmetric(weights), expected)
    assert symmetric(torch.full((5, 5), 1e-3)).max() <= 1e-3


def test_the_samples_graph_is_a_distribution_over_what_a_joint_reads() -> None:
    graph = similarity(torch.randn(2, 4, 5))
    torch.testing.assert_close(graph.sum(1), torch.ones(2, 5))
    still = torch.zeros(1, 4, 5, requires_grad=True)
    similarity(still)[0, 0].sum().backward()
    assert still.grad is not None and torch.isfinite(still.grad).all()


def test_linear_attention_equals_its_quadratic_form() -> None:
    torch.manual_seed(0)
    attention = LinearAttention(8, heads=2).eval()
    x = torch.randn(2, 8, 6, 3)
    q, k, v = attention.qkv(x.permute(0, 3, 2, 1)).reshape(2, 3, 6, 3, 2, 4).unbind(3)
    q, k = torch.nn.functional.elu(q) + 1, torch.nn.functional.elu(k) + 1
    weight = torch.einsum("nvthd,nvshd->nvhts", q, k)
    read = torch.einsum("nvhts,nvshd->nvthd", weight / weight.sum(-1, keepdim=True), v)
    expected = attention.out(read.flatten(3)).permute(0, 3, 2, 1)
    torch.testing.assert_close(attention(x), expected)


def test_linear_attention_is_exact_where_every_feature_is_small() -> None:
    """exp(x) itself, not 1 + (exp(x) - 1), which far below 0 is rounding alone and the ratio of two such sums noise."""
    torch.manual_seed(0)
    attention = LinearAttention(8, heads=2).eval()
    attention.qkv.weight.data[:16] = 0
    attention.qkv.weight.data[:16, 0] = -torch.rand(16) - 0.5
    x = torch.randn(2, 8, 6, 3)
    x[:, 0] = 8 + torch.rand(2, 6, 3)
    exact = copy.deepcopy(attention).double()(x.double())
    for form in (attention, attention.deployed()):
        torch.testing.assert_close(form(x), exact.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("frames", "left"), [(16, 8), (15, 8)])
def test_linear_attention_halves_the_frames_like_the_skip_path(frames: int, left: int) -> None:
    assert LinearAttention(8, stride=2)(torch.randn(1, 8, frames, 3)).shape == (1, 8, left, 3)
