"""A store of long recordings, a checkpoint that answers at every frame, and the bundle made of both: once a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from last_edge import records
from last_edge.bundle import Bundle, write_bundle
from last_edge.bundle.manifest import SPANS
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.inputs import InputSpec
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.models.registry import create_streamer
from last_edge.runtime.recognise.spans import SpanRules
from last_edge.skeleton import Annotation, SkeletonClip, get_layout
from last_edge.train.checkpoint import ModelCard, write_checkpoint
from tests.models.test_deployed import shake

GESTURES = ("swipe left", "swipe right", "tap")
LABELS = (*GESTURES, "background")
OPTIONS = {"delay": 2}
SPEC = InputSpec(get_layout("leap20"), centre="frame", scale="limb", resample="pad")


def hand(frames: int, *, seed: int, gone: bool = True) -> NDArray[np.float32]:
    """(T, V, C) of a hand that wanders, with points that are missing and a time without any."""
    random = np.random.default_rng(seed)
    rest = random.normal(size=(20, 3)) * 0.05
    way = np.sin(np.arange(frames)[:, None, None] * random.uniform(0.02, 0.3, (1, 1, 3))) * 0.3
    points = rest + way + random.normal(size=(frames, 20, 3)) * 0.01
    if gone:
        points[random.random(points.shape[:2]) < 0.05] = np.nan
        start = int(random.integers(frames))
        points[start : start + int(random.integers(1, 40))] = np.nan
    return points.astype(np.float32)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """Six training and three test recordings at 50 frames a second, twice the model's rate."""
    path = tmp_path_factory.mktemp("data") / "store"
    about = {"axes": "x right", "licence": "test data"}
    with writing_store(path, layout=SPEC.layout, units="metres", labels=GESTURES, about=about) as writer:
        for number in range(9):
            split = "train" if number < 6 else "test"
            spans = tuple(
                Annotation(label, 100 + 150 * place, 180 + 150 * place) for place, label in enumerate(GESTURES)
            )
            clip = SkeletonClip.from_points(
                hand(600, seed=number)[None], layout=SPEC.layout, fps=50, units="metres", spans=spans,
                subject=f"{split}-{number % 3}", split=split, source_id=f"recording-{number}",
            )  # fmt: skip
            writer.add(clip)
    return ClipStore.open(path)


@pytest.fixture(scope="session")
def model() -> LastLiteStream:
    """Weights and norms far from their start."""
    torch.manual_seed(3)
    made: LastLiteStream = create_streamer("last_lite_stream_nano", spec=SPEC, classes=len(LABELS), **OPTIONS)
    shake(made)
    torch.nn.init.normal_(made.head.weight, 0.0, 0.3)
    return made.eval()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, model: LastLiteStream, store: ClipStore) -> Path:
    """A checkpoint folder."""
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    card = ModelCard("last_lite_stream_nano", OPTIONS, len(LABELS), SPEC.sha256, store.sha256, "metres")
    write_checkpoint(
        folder, weights=model.state_dict(), card=card, spec=SPEC, labels=LABELS, texts={}, trainer={}
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory, run: Path) -> Path:
    """Where the bundle lies."""
    path = tmp_path_factory.mktemp("bundle") / "hands"
    export_run(run, path)
    return path


@pytest.fixture(scope="session")
def ruled_path(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path) -> Path:
    """The same bundle with rules for spans, by which most of a recording is one gesture or another."""
    bundle, path = Bundle.open(bundle_path), tmp_path_factory.mktemp("ruled") / "hands"
    rules = SpanRules(
        GESTURES, 25.0, 0.9, 0.6, 2, 0.5, 0.0, (0.1, 0.1, 0.1), 0.02, -0.02, early=0.5, early_wrong=0.25
    )  # fmt: skip
    files = {name: bundle.read(name) for name in bundle.manifest.files if name != "card.md"}
    write_bundle(path, bundle.manifest, files={**files, SPANS: records.to_json(rules).encode()})
    return path


@pytest.fixture
def bundle(bundle_path: Path) -> Bundle:
    """The bundle, FP32 alone."""
    return Bundle.open(bundle_path)
