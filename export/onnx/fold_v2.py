"""Rewriting a trained LAST-v2 body into its edge form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.export.onnx.edge_bodies import EdgeMerge
from last_edge.export.onnx.edge_gates import EdgeGates, EdgeJointGate
from last_edge.export.onnx.edge_v2 import (
    EdgeAdaptiveGraphConv,
    EdgeBlockV2,
    EdgeBodyV2,
    EdgeLinearAttention,
    EdgeSeparable,
)
from last_edge.models.last_v2 import Block, LastV2Body
from last_edge.models.layers.adaptive_gcn import AdaptiveGraphConv
from last_edge.models.layers.folding import (
    affine,
    conv_bn,
    conv_like,
    gate_branch,
    linear,
    pointwise,
    projection,
    scale_and_shift,
    scales_and_shifts,
    side_by_side,
    taps,
)
from last_edge.models.layers.gates import JointAttention
from last_edge.models.layers.linear_attention import LinearAttention
from last_edge.models.layers.temporal import SeparableTCN


def fold_v2(body: LastV2Body, *, bodies: int) -> EdgeBodyV2:
    """The edge form of a float64 body in eval mode; `bodies`: how many it reads."""
    blocks = nn.Sequential(*(_block(module) for module in body.stages.modules() if isinstance(module, Block)))
    return EdgeBodyV2(
        norms=affine(*scales_and_shifts(body.norms)),
        blocks=blocks,
        fc=linear(body.head.fc.weight, body.head.fc.bias),
        streams=len(body.norms),
        merge=None if bodies == 1 else EdgeMerge(body.options.bodies, bodies),
    )


def _block(block: Block) -> EdgeBlockV2:
    gate = block.st_att
    assert isinstance(gate, JointAttention)
    joint = EdgeJointGate(temporal=gate_branch(gate.temporal), spatial=gate_branch(gate.spatial), alpha=gate.alpha.data)
    return EdgeBlockV2(
        gcn=_graph_conv(block.gcn, block.gcn_bn),
        gates=EdgeGates(channel=None, joint=joint),
        temporal=_temporal(block.temporal),
        residual=projection(block.residual),
    )


def _graph_conv(gcn: AdaptiveGraphConv, norm: nn.Module) -> EdgeAdaptiveGraphConv:
    """The conv's (C', (K+2)*C) weights cut into those of the constant graphs and those of the sample's."""
    graph = torch.cat([gcn.fixed, _symmetric(gcn.A_learned)[None]])
    channels, (scale, shift) = gcn.embed.in_channels, scale_and_shift(norm)
    by_graph = (gcn.conv.weight.flatten(1) * scale[:, None]).reshape(-1, len(graph) + 1, channels)
    return EdgeAdaptiveGraphConv(
        graph=side_by_side(graph),
        taps=taps(by_graph[:, :-1], shift, joints=graph.shape[1]),
        embed=gcn.embed.weight.detach().flatten(1),
        own=pointwise(by_graph[:, -1]),
    )


def _symmetric(weights: Tensor) -> Tensor:
    """`adaptive_gcn.symmetric` in the weights' own precision."""
    size = weights.abs()
    rows, columns = (size.sum(axis, keepdim=True).clamp(min=1.0).rsqrt() for axis in (1, 0))
    return rows * size * columns


def _temporal(module: nn.Module) -> nn.Module:
    if isinstance(module, SeparableTCN):
        return EdgeSeparable(
            affine=affine(*scale_and_shift(module.norm_in)),
            depthwise=conv_like(module.depthwise, weight=module.depthwise.weight, bias=None),
            pointwise=conv_bn(module.pointwise, module.norm_out),
        )
    if isinstance(module, LinearAttention):
        out = pointwise(module.out.weight, module.out.bias)
        return EdgeLinearAttention(qkv=pointwise(module.qkv.weight), out=out, pool=module.pool, heads=module.heads)
    raise UsageError("no edge form for this temporal part", got=type(module).__name__)
