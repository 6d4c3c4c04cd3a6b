"""Float weights of a bundle whose checkpoint is lost, from its graph: what folding drew together is taken apart again.

`python -m last_edge.tools.experiments.unfold BUNDLE --store STORE` puts `weights.safetensors` into a LAST-E or
LAST-Lite, for `train --finetune`, `train --init`, `teach` and `distill`. STORE is the one that it was trained on.

The float network computes what the graph does, to rounding. Its convolutions have the graph's weights, and each batch
norm the mean and variance that its own inputs have over the store's training split, so that in training, where norms
read the batch, it is nearly the same function. They are not the weights that were trained: a norm makes the scale of
the convolution before it irrelevant, and how much of a product was the norm's and how much a layer's cannot be known.

Example: python -m last_edge.tools.experiments.unfold zoo/last_lite_nano_shrec14 --store runs/shrec14/store
"""

import argparse
import dataclasses
import math
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save
from torch import Tensor, nn

from last_edge.bundle import Bundle, Manifest, rewrite_bundle
from last_edge.bundle.manifest import WEIGHTS, Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import InputError, UsageError
from last_edge.export.proof.evaluate import check_store, deployed
from last_edge.export.proof.parity import torch_logits
from last_edge.export.proof.same import check_parity
from last_edge.inputs.features import LANDMARKS
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_body import Block, LastBody
from last_edge.models.layers.gates import JointAttention, MotionGate
from last_edge.models.layers.gcn import SpatialGCN
from last_edge.models.layers.head import GatedHead, StreamFusionConcat

SPLIT = "train"
BATCH = 16
OPENEST = 1e-6
"""A head's pooling gate is at least so far from 0 and 1, where its logit is infinite."""
Norm = nn.BatchNorm1d | nn.BatchNorm2d
Weights = dict[str, Tensor]


def unfold_bundle(path: Path, store: ClipStore) -> Manifest:
    """Put float weights that compute what the FP32 graph does into a bundle; its manifest.

    Raises `UsageError` for a bundle that has float weights and for a model of another family or with parts that cannot
    be taken apart, `InputError` for a store that the bundle was not trained on, `GateError` where the network's
    answers to the training clips are not the graph's.
    """
    bundle = Bundle.open(path).recogniser()
    manifest = bundle.manifest
    if WEIGHTS in manifest.files:
        raise UsageError("the bundle has float weights", where=path, hint=f"last-edge train --finetune {path}")
    store, trained_on = check_store(bundle, store), manifest.provenance.data_sha256
    if store.sha256 != trained_on:
        raise InputError("not the store that the bundle was trained on", where=store.path, expected=trained_on[:12],
                         got=store.sha256[:12])  # fmt: skip
    inputs = plain_batch(store, store.select(split=SPLIT), manifest.input)
    model = unfolded(bundle.graph("fp32"), manifest, torch.from_numpy(inputs[LANDMARKS]))
    graph = deployed(bundle, "fp32").logits(inputs)
    check_parity(graph, torch_logits(model, inputs), precision="fp32", where=path)
    said: dict[str, Figure] = {"split": SPLIT, "clips": len(graph), "store_sha256": store.sha256}
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return rewrite_bundle(bundle, dataclasses.replace(manifest, unfolded=said), files={WEIGHTS: save(weights)})


def unfolded(graph: bytes, manifest: Manifest, points: Tensor) -> LandmarkModel:
    """The float network of a manifest, in eval mode, that computes what an FP32 graph does; raises as `unfold_bundle`.

    points: windows (N, T, V, C) that the norms' means and variances are measured on.
    """
    model = create_model(
        manifest.model.name, spec=manifest.input, classes=len(manifest.labels), **manifest.model.kwargs
    ).eval()
    body = model.body
    if not isinstance(body, LastBody) or body.bodies_read(manifest.input) != 1:
        expected = "a LAST-E or LAST-Lite that reads one body"
        raise UsageError("this model is not taken apart", got=manifest.model.name, expected=expected)
    odd = [f"{name} {value}" for name, value, usual in (
        ("fusion", body.options.fusion, "concat"), ("ib", body.options.ib, "none"),
        ("subset_attention", body.options.subset_attention, False)) if value != usual]  # fmt: skip
    if odd:
        raise UsageError("parts of this model cannot be taken apart", where=manifest.model.name, got=", ".join(odd))
    with torch.no_grad():
        _fill(body, folded_weights(graph, body))
        model.double()
        with _measuring(body) as measured:
            for batch in torch.split(points, BATCH):
                model(batch.double())
        for norm, (mean, variance) in measured.items():
            _normalise(norm, mean, variance)
        _plain_first_norms(body)
    return model.float()


def folded_weights(graph: bytes, body: LastBody) -> Weights:
    """Weights of a graph in float64 by the names of the deployed body, whatever those of its graph are.

    Graphs exported before the deployed form multiplied with all of a block's graphs at once call blocks by their
    number, their parts otherwise, and hold the graphs apart.
    """
    proto = onnx.load_from_string(graph)
    found = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in proto.graph.initializer}
    weights = {name.removeprefix("body."): t.double() for name, t in found.items() if t.is_floating_point()}
    if "stem.weight" not in weights:
        return weights
    products = [node.input[1] for node in proto.graph.node if node.op_type == "MatMul"]
    made = {f"fusion.conv.{side}": weights[f"stem.{side}"] for side in ("weight", "bias")}
    for place, (name, block) in enumerate(_blocks(body)):
        own = {
            key.removeprefix(f"blocks.{place}."): t for key, t in weights.items() if key.startswith(f"blocks.{place}.")
        }
        subsets, mixed = block.gcn.subsets, own.pop("gcn.conv.weight")
        graphs = [weights[product] for product in products[place * subsets : (place + 1) * subsets]]
        own["gcn.graph"] = torch.cat(graphs, dim=1)
        own["gcn.taps.weight"] = mixed.reshape(len(mixed), subsets, -1).transpose(1, 2)[:, :, None]
        own["gcn.taps.bias"] = own.pop("gcn.conv.bias")
        own = {re.sub(r"^gates\.0\.", "gate.channel.", re.sub(r"^gates\.1\.", "gate.joint.", key)): t
               for key, t in own.items()}  # fmt: skip
        if "gate.joint.alpha" in own:
            own["gate.joint.mixing"] = own.pop("gate.joint.alpha")
        made |= {f"{name}.{key}": t for key, t in own.items()}
    return made | {name: t for name, t in weights.items() if name.startswith("head.")}


def _blocks(body: LastBody) -> Iterator[tuple[str, Block]]:
    return ((name, module) for name, module in body.named_modules() if isinstance(module, Block))


def _fill(body: LastBody, weights: Weights) -> None:
    """The body's weights from the folded ones; its norms add the folded biases and do nothing else."""
    for module in body.modules():
        if isinstance(module, Norm):
            _normalise(module, torch.zeros(module.num_features), torch.ones(module.num_features))
    fusion = body.fusion
    assert isinstance(fusion, StreamFusionConcat)
    _put(fusion.conv, fusion.bn, weights, "fusion.conv")
    for name, block in _blocks(body):
        _graph_conv(block.gcn, weights, f"{name}.gcn")
        tcn = block.tcn
        _put(tcn.expand, tcn.expand_bn, weights, f"{name}.tcn.expand")
        _put(tcn.depthwise, tcn.depthwise_bn, weights, f"{name}.tcn.depthwise")
        _put(tcn.project, tcn.project_bn, weights, f"{name}.tcn.project")
        for path, place in ((tcn.skip, "tcn.skip"), (block.residual, "residual")):
            if isinstance(path, nn.Sequential):
                _put(path[0], path[1], weights, f"{name}.{place}")
        if isinstance(block.gate, MotionGate):
            gate, own = block.gate, f"{name}.gate.channel"
            gate.reduce.weight.copy_(_of(weights, f"{own}.reduce.weight"))
            gate.restore.weight.copy_(_of(weights, f"{own}.restore.weight"))
            gate.alpha.copy_(_of(weights, f"{own}.alpha").view_as(gate.alpha))
        if isinstance(block.st_att, JointAttention):
            for side in ("temporal", "spatial"):
                reduce, norm, _, restore = getattr(block.st_att, side)
                _put(reduce, norm, weights, f"{name}.gate.joint.{side}.0")
                restore.weight.copy_(_of(weights, f"{name}.gate.joint.{side}.2.weight"))
            block.st_att.alpha.copy_(_of(weights, f"{name}.gate.joint.mixing")[:, :, :1])
    _head(body.head, _of(weights, "head.fc.weight"), _of(weights, "head.fc.bias"))


def _of(weights: Weights, name: str) -> Tensor:
    if name not in weights:
        raise InputError("the graph lacks a weight", where="model.fp32.onnx", expected=name, got=sorted(weights)[:4])
    return weights[name]


def _put(conv: nn.Module, norm: nn.Module, weights: Weights, name: str) -> None:
    """A convolution and the norm behind it from the two as one."""
    conv.weight.copy_(_of(weights, f"{name}.weight"))  # type: ignore[operator]
    norm.bias.copy_(_of(weights, f"{name}.bias"))  # type: ignore[operator]


def _graph_conv(gcn: SpatialGCN, weights: Weights, name: str) -> None:
    """Taps (C', C, 1, K) regrouped to (K*C', C), and what each edge counts; an edge that is none keeps its 1.

    `InputError` where the graph's edges are not those of the network.
    """
    mixed = _of(weights, f"{name}.taps.weight")
    gcn.conv.weight.copy_(mixed[:, :, 0].permute(2, 0, 1).reshape_as(gcn.conv.weight))
    gcn.bn.bias.copy_(_of(weights, f"{name}.taps.bias"))
    own, side_by_side = gcn.adjacency.double(), _of(weights, f"{name}.graph")
    graph = side_by_side.reshape(len(side_by_side), gcn.subsets, -1).transpose(0, 1)
    edges = own != 0
    if gcn.edge is not None:
        gcn.edge[edges] = (graph[edges] / own[edges]).to(gcn.edge.dtype)
    if not torch.allclose(gcn.graph().double(), graph, rtol=1e-6, atol=1e-8):
        raise InputError("the graph joins other points than the network", where=name)


def _head(head: GatedHead, weight: Tensor, bias: Tensor) -> None:
    """Classifier (K, C) and pooling gate from (K, 2C): what reads the means is its share of each column's sum."""
    mean, largest = weight.chunk(2, dim=1)
    read = mean + largest
    share = (mean * read).sum(0) / read.square().sum(0).clamp(min=math.ulp(0.0))
    head.pool_gate.copy_(torch.logit(share, OPENEST).view_as(head.pool_gate))
    head.fc.weight.copy_(read)
    head.fc.bias.copy_(bias)


@contextmanager
def _measuring(body: LastBody) -> Iterator[dict[Norm, tuple[Tensor, Tensor]]]:
    """Mean and variance (C,) of every norm's inputs while this lasts; they are there when it ends."""
    sums: dict[Norm, list[Tensor]] = {}

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, Norm)
        rows = inputs[0].transpose(0, 1).flatten(1).double()
        new = [torch.tensor(float(rows.shape[1])), rows.sum(1), rows.square().sum(1)]
        sums[norm] = [one + other for one, other in zip(sums.get(norm, [torch.tensor(0.0)] * 3), new, strict=True)]

    hooks = [module.register_forward_pre_hook(look) for module in body.modules() if isinstance(module, Norm)]
    measured: dict[Norm, tuple[Tensor, Tensor]] = {}
    try:
        yield measured
    finally:
        for hook in hooks:
            hook.remove()
    for norm, (count, total, squares) in sums.items():
        mean = total / count
        measured[norm] = mean, (squares / count - mean.square()).clamp(min=0.0)


def _normalise(norm: Norm, mean: Tensor, variance: Tensor) -> None:
    """Give a norm that adds its bias alone these statistics; what it computes stays."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.add_(mean.to(norm.bias.dtype))


def _plain_first_norms(body: LastBody) -> None:
    """Scale and shift of norms that stand before a layer into that layer, as a training begins.

    So streams, whose sizes differ by much, meet weights of one size.
    """
    fusion, head = body.fusion, body.head
    assert isinstance(fusion, StreamFusionConcat)
    scale, shift = _plain(fusion.norms)  # type: ignore[arg-type]
    assert fusion.bn.running_mean is not None
    fusion.bn.running_mean.sub_(fusion.conv.weight.flatten(1) @ shift)
    fusion.conv.weight.mul_(scale[None, :, None, None])
    scale, shift = _plain([head.bn])
    head.fc.bias.add_(head.fc.weight @ shift)
    head.fc.weight.mul_(scale)


def _plain(norms: Iterable[Norm]) -> tuple[Tensor, Tensor]:
    """Scale and shift (C,) of norms side by side, which they lose."""
    norms = list(norms)
    scale, shift = (torch.cat([getattr(norm, side).clone() for norm in norms]) for side in ("weight", "bias"))
    for norm in norms:
        norm.weight.fill_(1.0)
        norm.bias.fill_(0.0)
    return scale, shift


def main() -> None:
    """Put float weights into a bundle and say what they were measured on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--store", type=Path, required=True)
    given = parser.parse_args()
    manifest = unfold_bundle(given.bundle, ClipStore.open(given.store))
    said = manifest.unfolded
    sys.stdout.write(f"{given.bundle / WEIGHTS}: norms measured on {said['clips']} clips of the {SPLIT} split\n")


if __name__ == "__main__":
    main()
