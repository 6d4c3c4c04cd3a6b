"""Float weights from a graph: the same function, the same maps inside, norms that know their own inputs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load, save
from torch import nn

from last_edge.bundle import Bundle, Golden, Manifest, ModelInfo, rewrite_bundle, write_bundle
from last_edge.bundle.manifest import CARD, WEIGHTS, Provenance
from last_edge.bundle.zoo import find_bundle
from last_edge.clips import ClipStore
from last_edge.clips.writer import append_clips, writing_store
from last_edge.errors import InputError, UsageError
from last_edge.export.onnx.onnx_graph import to_onnx
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.parity import torch_logits
from last_edge.export.proof.same import parity_rows, tolerance
from last_edge.export.proof.verify import verify_bundle
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.experiments.unfold import unfold_bundle, unfolded
from last_edge.train.checkpoint import read_bundled, read_trunk

LABELS = ("grab", "swipe", "tap")
SPEC = InputSpec(get_layout("shrec22"), frames=16, scale="limb")
LOST = ("last_lite_nano_shrec14", "last_e_nano_shrec14", "last_lite_nano_utd27", "last_e_nano_utd27")


@pytest.fixture(scope="module")
def net() -> LandmarkModel:
    """A LAST-E as if trained: nothing in it is at its start."""
    torch.manual_seed(3)
    made = create_model("last_e_nano", spec=SPEC, classes=len(LABELS), dropout=0.0)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.endswith(("conv.weight", "expand.weight", "project.weight", "depthwise.weight")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
                module.running_mean.normal_(0.0, 0.3)  # type: ignore[union-attr]
    return made.eval()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """30 training clips and 6 others, of three classes."""
    path, random = tmp_path_factory.mktemp("data") / "store", np.random.default_rng(3)
    with writing_store(path, layout=SPEC.layout, units="metres", labels=LABELS) as writer:
        for number in range(36):
            points = random.normal(size=(1, 1, 22, 3)) + 0.3 * random.normal(size=(1, 16, 22, 3)).cumsum(1)
            clip = SkeletonClip.from_points(
                points, layout=SPEC.layout, fps=30, units="metres", label=LABELS[number % 3], subject=str(number % 4),
                split="train" if number < 30 else "test", source_id=f"clip-{number}",
            )  # fmt: skip
            writer.add(clip)
    return ClipStore.open(path)


@pytest.fixture(scope="module")
def points(store: ClipStore) -> torch.Tensor:
    """The training windows, (30, 16, 22, 3)."""
    return torch.from_numpy(np.stack([store.points(clip)[0] for clip in range(30)]))


@pytest.fixture(scope="module")
def bare(net: LandmarkModel, store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's bundle without float weights."""
    path = tmp_path_factory.mktemp("bundles") / "bare"
    graph = to_onnx(net.deployed(), labels=LABELS, name="last_e_nano")
    inputs = {"landmarks": np.stack([store.points(clip)[0] for clip in range(30, 34)])}
    golden = Golden(inputs, {"torch": torch_logits(net, inputs), "fp32": logits_of(graph, inputs)})
    count = sum(parameter.numel() for parameter in net.parameters())
    manifest = Manifest(
        "bare", ModelInfo("last_e_nano", {"dropout": 0.0}, count), {}, SPEC, "metres", "y up", LABELS,
        provenance=Provenance(data_sha256=store.sha256, checkpoint_sha256="0" * 64),
        tolerances={"fp32": tolerance("fp32", golden.logits["fp32"])}, parity=parity_rows(golden.logits, on="golden"),
    )  # fmt: skip
    write_bundle(path, manifest, files={"model.fp32.onnx": graph, "golden.npz": golden.to_bytes()})
    return path


@pytest.fixture
def bundle(bare: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(bare, tmp_path / "bare"))


def test_the_network_and_every_map_inside_it_come_back(net: LandmarkModel, bare: Path, points: torch.Tensor) -> None:
    opened = Bundle.open(bare)
    made = unfolded(opened.graph("fp32"), opened.manifest, points)
    inputs = {"landmarks": points.numpy()}
    assert np.abs(torch_logits(made, inputs) - logits_of(opened.graph("fp32"), inputs)).max() < 1e-5
    with torch.no_grad():
        ours, theirs = (one.features_and_logits(one.front(points))[0] for one in (made, net))
    assert len(ours) == 3 and all(torch.allclose(*pair, atol=2e-5) for pair in zip(ours, theirs, strict=True))


def test_in_training_it_is_the_same_function_of_the_clips_it_was_measured_on(bare: Path, points: torch.Tensor) -> None:
    opened = Bundle.open(bare)
    made = unfolded(opened.graph("fp32"), opened.manifest, points)
    with torch.no_grad():
        settled = made(points)
        assert torch.allclose(made.train()(points), settled, atol=1e-3 * float(settled.abs().max()))


def test_a_bundle_takes_them_says_what_they_are_and_proves_them(bundle: Path, store: ClipStore, tmp_path: Path) -> None:
    before = {name: (bundle / name).read_bytes() for name in ("model.fp32.onnx", "golden.npz")}
    manifest = unfold_bundle(bundle, store)
    assert manifest.unfolded == {"split": "train", "clips": 30, "store_sha256": store.sha256}
    assert manifest.provenance.checkpoint_sha256 == "0" * 64
    assert {name: (bundle / name).read_bytes() for name in before} == before
    assert "unfolded from the graph" in (bundle / CARD).read_text()
    assert not [check for check in verify_bundle(bundle) if not check.holds]
    others = append_clips(tmp_path / "others", [store.clip(clip) for clip in range(29)])
    checks = [check for one in (store, others) for check in verify_bundle(bundle, one)]
    assert [check.holds for check in checks if check.name == "unfolded weights"] == [True, False]
    opened = Bundle.open(bundle)
    with pytest.raises(UsageError, match="has float weights"):
        unfold_bundle(bundle, store)
    other = load(opened.read(WEIGHTS))
    other["body.head.fc.bias"] += 1
    rewrite_bundle(opened, opened.manifest, files={WEIGHTS: save(other)})
    assert [check.name for check in verify_bundle(bundle) if not check.holds] == ["torch golden"]


def test_a_training_starts_from_the_same_maps(
    bundle: Path, net: LandmarkModel, store: ClipStore, points: torch.Tensor
) -> None:
    unfold_bundle(bundle, store)
    begun = create_model("last_e_nano", spec=SPEC, classes=5).eval()
    report = read_trunk(bundle, model="last_e_nano", spec=SPEC).into(begun)
    assert not report.unused
    with torch.no_grad():
        ours, theirs = (one.features_and_logits(one.front(points))[0][-1] for one in (begun, net))
    assert torch.allclose(ours, theirs, atol=2e-5)


def test_what_cannot_be_taken_apart_is_refused(bundle: Path, store: ClipStore, points: torch.Tensor) -> None:
    opened = Bundle.open(bundle)
    graph, manifest = opened.graph("fp32"), opened.manifest
    for name, kwargs in (("last_e_nano", {"fusion": "softmax"}), ("last_e_small", {}), ("last_v2_small", {})):
        with pytest.raises(UsageError, match="taken apart"):
            unfolded(graph, dataclasses.replace(manifest, model=ModelInfo(name, kwargs, 1)), points)
    proto = onnx.load_from_string(graph)
    joined = next(one for one in proto.graph.initializer if one.name == "body.stages.0.0.gcn.graph")
    edges = numpy_helper.to_array(joined).copy()
    edges[edges == 0] = 0.1
    joined.CopyFrom(numpy_helper.from_array(edges, joined.name))
    with pytest.raises(InputError, match="joins other points"):
        unfolded(proto.SerializeToString(), manifest, points)
    strange = dataclasses.replace(store, header=dataclasses.replace(store.header, content_sha256="1" * 64))
    with pytest.raises(InputError, match="not the store"):
        unfold_bundle(bundle, strange)


@pytest.mark.parametrize("name", LOST)
def test_the_zoos_older_graphs_are_read_too(name: str) -> None:
    bundle = Bundle.open(find_bundle(name))
    golden = bundle.golden
    made = unfolded(bundle.graph("fp32"), bundle.manifest, torch.from_numpy(golden.points))
    for model in (made, read_bundled(bundle.path).model):
        assert np.abs(torch_logits(model, golden.inputs) - golden.logits["fp32"]).max() < 1e-5
