"""Rewriting a trained model into its edge form: the same function, batch norms, masks and constants folded away."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.export.onnx.edge_bodies import EdgePooledBodies
from last_edge.export.onnx.edge_front import EdgeFront
from last_edge.export.onnx.edge_gates import EdgeGates, EdgeHybridGate, EdgeJointGate, EdgeMotionGate
from last_edge.export.onnx.edge_hybrid import EdgeHybrid, EdgeHybridModel
from last_edge.export.onnx.edge_modules import (
    EdgeAttentiveGraphConv,
    EdgeBlock,
    EdgeBody,
    EdgeGraphConv,
    EdgeHead,
    EdgeModel,
    EdgeStem,
    EdgeTemporal,
)
from last_edge.export.onnx.edge_transformer import EdgePoseTransformer
from last_edge.export.onnx.fold_v2 import fold_v2
from last_edge.models.hybrid_nslt import HybridBody
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_e import Block, LastBody
from last_edge.models.last_v2 import LastV2Body
from last_edge.models.layers.folding import (
    bn_conv,
    conv_bn,
    gate_branch,
    linear,
    pointwise,
    projection,
    scale_and_shift,
    scales_and_shifts,
    side_by_side,
    taps,
)
from last_edge.models.layers.fusion import StreamFusionConcat, StreamFusionSoftmax
from last_edge.models.layers.gates import HybridGate, JointAttention, MotionGate
from last_edge.models.layers.gcn import SpatialGCN
from last_edge.models.layers.head import GatedHead
from last_edge.models.layers.temporal import EpSepTCN
from last_edge.models.pose_transformer import PoseTransformerBody


@torch.no_grad()
def fold(model: LandmarkModel) -> EdgeModel | EdgeHybridModel:
    """The edge form of a model, in eval mode on the CPU; the model itself stays as it is.

    Sums are made in float64, so that outputs agree to about 1e-6. `UsageError` for a body of another family.
    """
    spec, body = model.spec, copy.deepcopy(model.body).cpu().double().eval()
    if isinstance(body, PoseTransformerBody):
        return EdgeModel(front=EdgeFront(spec), body=EdgePoseTransformer(body)).float().eval()
    if isinstance(body, HybridBody):
        return EdgeHybridModel(front=EdgeFront(spec), body=EdgeHybrid(body)).float().eval()
    if not isinstance(body, LastBody | LastV2Body):
        known = "LAST-E, LAST-Lite, LAST-v2, pose transformers, hybrid_nslt"
        raise UsageError("no edge form for this model", expected=known, got=type(body).__name__)
    bodies = 1 if body.options.bodies == "first" else spec.bodies
    if isinstance(body, LastV2Body):
        edge: nn.Module = fold_v2(body, bodies=bodies)
    else:
        edge = _last(body, frames=spec.frames, bodies=bodies)
    return EdgeModel(front=EdgeFront(spec, bodies=bodies), body=edge).float().eval()


def fold_stages(body: LastBody, *, frames: int) -> tuple[EdgeStem, nn.Sequential]:
    """Fusion and blocks of a body in eval mode and float64, for streams of `frames` frames; its head is not read."""
    blocks = nn.Sequential()
    for module in (module for module in body.stages.modules() if isinstance(module, Block)):
        frames = -(-frames // module.tcn.depthwise.stride[0])
        blocks.append(_block(module, frames))
    return _stem(body.fusion), blocks


def _last(body: LastBody, *, frames: int, bodies: int) -> nn.Module:
    (stem, blocks), head = fold_stages(body, frames=frames), body.head
    weight, bias = _classifier(head)
    gate = torch.sigmoid(head.pool_gate).flatten()
    if bodies == 1:
        fc = linear(torch.cat([weight * gate, weight * (1 - gate)], dim=1), bias)
        return EdgeBody(stem=stem, blocks=blocks, head=EdgeHead(fc))
    how = body.options.bodies
    return EdgePooledBodies(stem=stem, blocks=blocks, gate=gate, fc=linear(weight, bias), how=how, bodies=bodies)


def _stem(fusion: nn.Module) -> EdgeStem:
    """Per-stream norms, 1x1 conv and norm as one conv; of a weighted fusion one group a stream."""
    if isinstance(fusion, StreamFusionConcat):
        return EdgeStem(conv_bn(bn_conv(*scales_and_shifts(fusion.norms), fusion.conv), fusion.bn))
    assert isinstance(fusion, StreamFusionSoftmax)
    weights, biases = [], []
    shares = torch.softmax(fusion.stream_weights, 0)
    for before, after, share in zip(fusion.norms, fusion.stem_norms, shares, strict=True):
        conv = conv_bn(bn_conv(*scale_and_shift(before), fusion.conv), after)
        assert conv.bias is not None
        weights.append(conv.weight.flatten(1) * share[:, None])
        biases.append(conv.bias * share)
    parts = len(weights)
    return EdgeStem(pointwise(torch.cat(weights), torch.cat(biases), groups=parts), parts=parts)


def _block(block: Block, frames: int) -> EdgeBlock:
    """The edge form of a block whose temporal part leaves `frames` frames."""
    return EdgeBlock(
        gcn=_graph_conv(block.gcn),
        act=block.act,
        tcn=_temporal(block.tcn),
        gates=EdgeGates(channel=_channel_gate(block.gate, frames), joint=_joint_gate(block.st_att)),
        residual=projection(block.residual),
    )


def _graph_conv(gcn: SpatialGCN) -> EdgeGraphConv:
    """Weights (K*C', C) regrouped to (C', K, C); the edge mask multiplied into the graph."""
    subsets, channels = gcn.subsets, gcn.conv.in_channels
    graph = gcn.graph().double()
    by_subset = gcn.conv.weight.reshape(subsets, -1, channels)
    scale, shift = scale_and_shift(gcn.bn)
    mixed = taps(by_subset.transpose(0, 1) * scale[:, None, None], shift, joints=graph.shape[1])
    if gcn.attention is None:
        return EdgeGraphConv(side_by_side(graph), mixed)
    read = gcn.attention.weight.reshape(subsets, subsets, -1)
    score = torch.einsum("jkp,kpc->jck", read, by_subset).flatten(1)
    return EdgeAttentiveGraphConv(side_by_side(graph), mixed, score=linear(score))


def _temporal(tcn: EpSepTCN) -> EdgeTemporal:
    return EdgeTemporal(
        expand=conv_bn(tcn.expand, tcn.expand_bn),
        depthwise=conv_bn(tcn.depthwise, tcn.depthwise_bn),
        project=conv_bn(tcn.project, tcn.project_bn),
        skip=projection(tcn.skip),
        act=tcn.act,
    )


def _channel_gate(gate: nn.Module, frames: int) -> EdgeMotionGate | None:
    if isinstance(gate, nn.Identity):
        return None
    if isinstance(gate, HybridGate):
        return EdgeHybridGate(reduce=gate.reduce, restore=gate.restore, alpha=gate.alpha.data, frames=frames)
    if isinstance(gate, MotionGate):
        return EdgeMotionGate(reduce=gate.reduce, restore=gate.restore, alpha=gate.alpha.data)
    raise UsageError("no edge form for this gate", got=type(gate).__name__)


def _joint_gate(gate: nn.Module) -> EdgeJointGate | None:
    if isinstance(gate, nn.Identity):
        return None
    if isinstance(gate, JointAttention):
        branches = {name: gate_branch(getattr(gate, name)) for name in ("temporal", "spatial")}
        return EdgeJointGate(**branches, alpha=gate.alpha.data)
    raise UsageError("no edge form for this gate", got=type(gate).__name__)


def _classifier(head: GatedHead) -> tuple[Tensor, Tensor]:
    """fc(bn(feature)) as one matrix (K, C) and bias; a sampled latent is its mean."""
    scale, shift = scale_and_shift(head.bn)
    read, bias = head.fc.weight, head.fc.bias
    if head.ib is not None and head.sampled:
        read, bias = read @ head.ib.mu.weight, bias + read @ head.ib.mu.bias  # type: ignore[assignment]
    return read * scale, bias + read @ shift
