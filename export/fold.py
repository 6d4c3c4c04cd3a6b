"""Rewriting a trained LAST-E or LAST-Lite into its edge form: the same function, batch norms and masks folded away."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.export.edge_front import EdgeFront
from last_edge.export.edge_hybrid_gate import EdgeHybridGate
from last_edge.export.edge_modules import (
    EdgeAttentiveGraphConv,
    EdgeBlock,
    EdgeGraphConv,
    EdgeHead,
    EdgeJointAttention,
    EdgeModel,
    EdgeMotionGate,
    EdgeTemporal,
)
from last_edge.models.blocks.fusion import StreamFusionConcat
from last_edge.models.blocks.gates import HybridGate, JointAttention, MotionGate
from last_edge.models.blocks.head import GatedHead
from last_edge.models.blocks.spatial_gcn import SpatialGCN
from last_edge.models.blocks.temporal import EpSepTCN
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_e import Block, LastBody


@torch.no_grad()
def fold(model: LandmarkModel) -> EdgeModel:
    """The edge form of a model, in eval mode on the CPU; the model itself stays as it is.

    Sums are made in float64, so that outputs agree to about 1e-6. `UsageError` for a body of another family.
    """
    if not isinstance(model.body, LastBody):
        raise UsageError("no edge form for this model", expected="LAST-E or LAST-Lite", got=type(model.body).__name__)
    model = copy.deepcopy(model).cpu().double().eval()
    body = model.body
    assert isinstance(body, LastBody) and isinstance(body.head, GatedHead)
    _refuse_what_has_no_edge_form(model, body)
    assert isinstance(body.fusion, StreamFusionConcat)
    blocks, frames = nn.Sequential(), model.spec.frames
    for module in (module for module in body.stages.modules() if isinstance(module, Block)):
        frames = -(-frames // module.tcn.depthwise.stride[0])
        blocks.append(_block(module, frames))
    edge = EdgeModel(front=EdgeFront(model.spec), stem=_fusion(body.fusion), blocks=blocks, head=_head(body.head))
    return edge.float().eval()


def _refuse_what_has_no_edge_form(model: LandmarkModel, body: LastBody) -> None:
    if body.options.fusion != "concat":
        raise UsageError("no edge form for this fusion", expected="fusion=concat", got=body.options.fusion)
    if model.spec.bodies > 1 and body.options.bodies != "first":
        raise UsageError("no edge form for several bodies", expected="bodies=first", got=body.options.bodies)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A batch norm in eval mode as y = scale * x + shift, both (C,)."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def conv_bn(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    """Convolution followed by batch norm as one convolution with bias."""
    scale, shift = scale_and_shift(norm)
    bias = shift if conv.bias is None else shift + conv.bias * scale
    return _conv_like(conv, weight=conv.weight * scale[:, None, None, None], bias=bias)


def bn_conv(scale: Tensor, shift: Tensor, conv: nn.Conv2d) -> nn.Conv2d:
    """y = conv(scale * x + shift) of a 1x1 convolution as one convolution with bias."""
    weight = conv.weight * scale[None, :, None, None]
    bias = (conv.weight * shift[None, :, None, None]).sum(dim=(1, 2, 3))
    return _conv_like(conv, weight=weight, bias=bias if conv.bias is None else bias + conv.bias)


def _conv_like(conv: nn.Conv2d, *, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    made = nn.Conv2d(
        weight.shape[1] * conv.groups,
        weight.shape[0],
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
        dtype=weight.dtype,
    )
    made.weight.data, made.bias.data = weight.clone(), bias.clone()  # type: ignore[union-attr]
    return made


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    made.weight.data = weight.clone()
    if bias is not None:
        made.bias.data = bias.clone()
    return made


def _fusion(fusion: StreamFusionConcat) -> nn.Conv2d:
    """Per-stream norms, 1x1 conv and norm as one conv."""
    parts = [scale_and_shift(norm) for norm in fusion.norms]
    scale, shift = (torch.cat(side) for side in zip(*parts, strict=True))
    return conv_bn(bn_conv(scale, shift, fusion.conv), fusion.bn)


def _block(block: Block, frames: int) -> EdgeBlock:
    """The edge form of a block whose temporal part leaves `frames` frames."""
    gates = [_gate(gate, frames) for gate in (block.gate, block.st_att) if not isinstance(gate, nn.Identity)]
    return EdgeBlock(
        gcn=_graph_conv(block.gcn),
        act=block.act,
        tcn=_temporal(block.tcn),
        gates=nn.Sequential(*gates),
        residual=_projection(block.residual),
    )


def _graph_conv(gcn: SpatialGCN) -> EdgeGraphConv:
    """Weights (K*C', C) regrouped to (C', K*C); the edge mask multiplied into the graph."""
    subsets, channels = gcn.subsets, gcn.conv.in_channels
    graph = gcn.graph().double().clone()
    by_subset = gcn.conv.weight.reshape(subsets, -1, channels)
    mixed = by_subset.permute(1, 0, 2).reshape(-1, subsets * channels, 1, 1)
    conv = conv_bn(_conv_like(gcn.conv, weight=mixed, bias=mixed.new_zeros(len(mixed))), gcn.bn)
    if gcn.attention is None:
        return EdgeGraphConv(graph, conv)
    read = gcn.attention.weight.reshape(subsets, subsets, -1)
    score = torch.einsum("jkc,kci->jki", read, by_subset).reshape(subsets, subsets * channels)
    spread = torch.eye(subsets, dtype=score.dtype).repeat_interleave(channels, dim=1)
    return EdgeAttentiveGraphConv(graph, conv, score=_linear(score), spread=spread)


def _temporal(tcn: EpSepTCN) -> EdgeTemporal:
    return EdgeTemporal(
        expand=conv_bn(tcn.expand, tcn.expand_bn),
        depthwise=conv_bn(tcn.depthwise, tcn.depthwise_bn),
        project=conv_bn(tcn.project, tcn.project_bn),
        skip=_projection(tcn.skip),
        act=tcn.act,
    )


def _projection(module: nn.Module) -> nn.Module:
    """A skip path: the identity, or conv and batch norm as one conv."""
    if not isinstance(module, nn.Sequential):
        return module
    conv, norm = module
    assert isinstance(conv, nn.Conv2d)
    return conv_bn(conv, norm)


def _gate(gate: nn.Module, frames: int) -> nn.Module:
    if isinstance(gate, HybridGate):
        return EdgeHybridGate(reduce=gate.reduce, restore=gate.restore, alpha=gate.alpha.data, frames=frames)
    if isinstance(gate, MotionGate):
        return EdgeMotionGate(reduce=gate.reduce, restore=gate.restore, alpha=gate.alpha.data)
    if isinstance(gate, JointAttention):
        branches = {name: _gate_branch(getattr(gate, name)) for name in ("temporal", "spatial")}
        return EdgeJointAttention(**branches, alpha=gate.alpha.data)
    raise UsageError("no edge form for this gate", got=type(gate).__name__)


def _gate_branch(branch: nn.Sequential) -> nn.Sequential:
    reduce, norm, act, restore = branch
    assert isinstance(reduce, nn.Conv2d)
    return nn.Sequential(conv_bn(reduce, norm), act, restore)


def _head(head: GatedHead) -> EdgeHead:
    """fc(bn(g * mean + (1 - g) * max)) as one linear layer over [mean, max]; a sampled latent is its mean."""
    gate = torch.sigmoid(head.pool_gate).flatten()
    scale, shift = scale_and_shift(head.bn)
    read: Tensor = head.fc.weight
    bias: Tensor = head.fc.bias
    if head.ib is not None and head.sampled:
        read, bias = read @ head.ib.mu.weight, bias + read @ head.ib.mu.bias
    weight = read * scale
    return EdgeHead(_linear(torch.cat([weight * gate, weight * (1 - gate)], dim=1), bias + read @ shift))
