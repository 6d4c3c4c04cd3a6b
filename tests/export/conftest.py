"""A tiny store, a run whose weights are far from their start, and the bundle made of both: made once a session."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from last_edge.bundle import Bundle, write_bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.train.checkpoint import ModelCard, write_checkpoint

LABELS = ("grab", "swipe", "tap")
SPEC = InputSpec(get_layout("shrec22"), frames=16, scale="limb")


def shake(model: LandmarkModel) -> LandmarkModel:
    """Give the norms statistics of their own, so that folding has something to fold."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_var.data.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            module.running_mean.data.normal_(0.0, 0.3)  # type: ignore[union-attr]
    nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    return model.eval()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """24 training and 9 test clips of 3 classes that differ in where they drift."""
    path = tmp_path_factory.mktemp("data") / "store"
    random = np.random.default_rng(3)
    layout = SPEC.layout
    about = {"axes": "x right", "licence": "test data"}
    with writing_store(path, layout=layout, units="metres", labels=LABELS, about=about) as writer:
        for index in range(33):
            label = index % 3
            drift = np.linspace(0, 1, 20)[:, None, None] * np.eye(3)[label]
            points = random.normal(scale=0.1, size=(1, 20, 22, 3)) + drift + random.normal(size=(1, 1, 22, 3))
            split = "train" if index < 24 else "test"
            clip = SkeletonClip.from_points(
                points, layout=layout, fps=30, units="metres", label=LABELS[label], subject=str(index % 4),
                split=split, source_id=f"clip-{index}",
            )  # fmt: skip
            writer.add(clip)
    return ClipStore.open(path)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, store: ClipStore) -> Path:
    """A checkpoint folder of last_lite_nano."""
    folder = tmp_path_factory.mktemp("runs") / "epoch-0001"
    torch.manual_seed(7)
    model = shake(create_model("last_lite_nano", spec=SPEC, classes=len(LABELS)))
    card = ModelCard("last_lite_nano", {}, len(LABELS), SPEC.sha256, store.sha256, store.units)
    write_checkpoint(
        folder, weights=model.state_dict(), card=card, spec=SPEC, labels=LABELS,
        texts={"recipe.yaml": "seed: 11\n", "env.json": '{"commit": "abc"}'}, trainer={},
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, run: Path, store: ClipStore) -> Path:
    """The FP32 bundle of the run. Tests copy it before they change it."""
    path = tmp_path_factory.mktemp("bundles") / "hands"
    export_run(run, path, store=store)
    return path


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory, exported: Path, store: ClipStore) -> Path:
    """A `.last` archive with both precisions."""
    path = tmp_path_factory.mktemp("bundles") / "hands.last"
    bundle = Bundle.open(exported)
    write_bundle(path, bundle.manifest, files={name: bundle.read(name) for name in bundle.manifest.files})
    quantize_bundle(path, store, Plan(count=12))
    return path


@pytest.fixture
def finished(run: Path, tmp_path: Path) -> Path:
    """A run that held subject 1 out."""
    shutil.copytree(run, tmp_path / "run" / "checkpoints" / "epoch-0001")
    pointer = {"best": "epoch-0001", "last": "epoch-0001", "finished": True, "schema_version": 1}
    (tmp_path / "run" / "run.json").write_text(json.dumps(pointer))
    (tmp_path / "run" / "final.json").write_text(json.dumps({"val_subjects": ["1"]}))
    return tmp_path / "run"
