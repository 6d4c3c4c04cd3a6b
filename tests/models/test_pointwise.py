"""The forms that train fast equal the convolutions and sums that define them, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from last_edge.models.layers.gates import JointAttention, MotionGate
from last_edge.models.layers.gcn import SpatialGCN
from last_edge.models.layers.pointwise import FrameDepthwise, Pointwise, spread_product, stacked_product


def features(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).requires_grad_()


def assert_same(one: Tensor, other: Tensor, *leaves: Tensor) -> None:
    """Equal values, and equal gradients of a sum that weighs every entry differently."""
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    weight = torch.linspace(-1, 1, one.numel()).reshape(one.shape)
    for ours, theirs in zip(
        torch.autograd.grad((one * weight).sum(), leaves, retain_graph=True),
        torch.autograd.grad((other * weight).sum(), leaves, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_pointwise_is_a_1x1_convolution(stride: int) -> None:
    x, conv = features(2, 4, 7, 5), Pointwise(4, 6, stride=stride, bias=True)
    defined = nn.functional.conv2d(x, conv.weight, conv.bias, (stride, 1))
    assert_same(conv(x), defined, x, conv.weight, conv.bias)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frames", [7, 8])
def test_depthwise_stride_leaves_the_same_frames(training: bool, frames: int) -> None:
    x, conv = features(2, 4, frames, 5), FrameDepthwise(4, taps=5, stride=2).train(training)
    defined = nn.functional.conv2d(x, conv.weight, None, (2, 1), (2, 0), groups=4)
    assert_same(conv(x), defined, x, conv.weight)


def test_stacked_product_is_the_sum_over_graphs() -> None:
    groups, graphs = features(2, 3 * 4, 6, 5), features(3, 5, 5)
    parts = groups.unflatten(1, (3, 4))
    defined = sum(parts[:, k] @ graphs[k] for k in range(3))
    assert_same(stacked_product(graphs, groups), defined, groups, graphs)
    own = torch.stack([graphs, 2 * graphs])
    scaled = torch.stack([defined[0], 2 * defined[1]])
    assert_same(stacked_product(own, groups), scaled, groups, graphs)


def test_spread_product_is_each_graph_beside_the_other() -> None:
    x, graphs = features(2, 4, 6, 5), features(2, 3, 5, 5)
    defined = torch.cat([x @ graphs[:, k, None] for k in range(3)], dim=1)
    assert_same(spread_product(graphs, x), defined, x, graphs)


def test_subset_attention_reads_the_aggregated_groups() -> None:
    adjacency = np.random.default_rng(0).random((3, 5, 5), np.float32)
    gcn, x = SpatialGCN(4, 6, adjacency=adjacency, subset_attention=True), features(2, 4, 8, 5)
    nn.init.normal_(gcn.attention.weight)
    groups = gcn.conv(x).unflatten(1, (3, 6))
    aggregated = torch.stack([groups[:, k] @ gcn.graph()[k] for k in range(3)], 1)
    weights = torch.softmax(gcn.attention(aggregated.mean((3, 4)).flatten(1)), -1)
    defined = gcn.bn((aggregated * weights[:, :, None, None, None]).sum(1))
    assert_same(gcn(x), defined, x, gcn.conv.weight, gcn.attention.weight, gcn.edge)


def test_gates_blend_by_alpha() -> None:
    x = features(2, 8, 6, 5)
    motion, joints = MotionGate(8), JointAttention(8).eval()
    for gate in (motion, joints):
        nn.init.normal_(gate.alpha)
    energy = (x[:, :, 1:] - x[:, :, :-1]).abs().mean((2, 3))
    gain = torch.sigmoid(motion.restore(torch.relu(motion.reduce(energy))))[:, :, None, None]
    assert_same(motion(x), x + motion.alpha * (x * gain - x), x, motion.alpha)
    over_time = torch.sigmoid(joints.temporal(x.mean(3, keepdim=True)))
    over_joints = torch.sigmoid(joints.spatial(x.mean(2, keepdim=True)))
    assert_same(joints(x), x + joints.alpha * (x * over_time * over_joints - x), x, joints.alpha)
