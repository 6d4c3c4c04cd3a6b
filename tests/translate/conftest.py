"""A store of made-up sentences that a tiny translator learns in seconds, and that translator's run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import writing_store
from last_edge.skeleton import Layout, SkeletonClip
from last_edge.tools.cli import main
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

WORDS = ("up", "down", "left", "right")
MOVES = np.array([[0, 1, 0], [0, -1, 0], [1, 0, 0], [-1, 0, 0]], np.float32)
SETTINGS = [
    "model.name=sign2text_v4", "model.width=32", "model.heads=4", "model.hidden=64", "model.stride=2",
    "model.longest=10", "model.dropout=0.0", "input.frames=40", "training.optimizer=adamw", "training.lr=0.004",
    "training.epochs=25", "training.batch_size=8", "training.warmup_epochs=1", "training.amp=off",
    "training.label_smoothing=0.0", "augment.rotation_deg=0.0", "augment.scale=0.05", "augment.shear=0.0",
    "translate.vocabulary=40", "translate.validate_bleu=true", "translate.beam=2", "translate.speed=0.1",
    "translate.jitter=0.2", "seed=3",
]  # fmt: skip


def signed(layout: Layout, words: list[int], random: np.random.Generator) -> np.ndarray:
    """(1, T, 5, 3) eight frames a word: out and back again."""
    points = np.tile(random.normal(0, 0.1, (1, layout.joints, 3)), (8 * len(words), 1, 1))
    points[:, 1, 0] += 1.0
    for place, word in enumerate(words):
        points[8 * place : 8 * place + 8, 3] += MOVES[word] * np.sin(np.linspace(0, np.pi, 8))[:, None]
    return np.asarray((points + random.normal(0, 0.02, points.shape))[None], np.float32)


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory, toy_layout: Layout) -> Path:
    """160 sentences of two or three words by four people, said in the reverse order; person 4 tests."""
    path, random = tmp_path_factory.mktemp("sentences") / "store", np.random.default_rng(5)
    with writing_store(path, layout=toy_layout, units="metres", labels=(), about={"licence": "free"}) as writer:
        for number in range(160):
            words = random.integers(0, 4, int(random.integers(2, 4))).tolist()
            person = number % 4 + 1
            writer.add(
                SkeletonClip.from_points(
                    signed(toy_layout, words, random),
                    layout=toy_layout,
                    fps=10,
                    units="metres",
                    subject=str(person),
                    split="test" if person == 4 else "train",
                    source_id=f"s{number:03d}",
                    text=" ".join(WORDS[word] for word in reversed(words)) + " .",
                )  # fmt: skip
            )
    return path


@pytest.fixture(scope="session")
def run(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "run"
    run_training(Request(load_recipe(None, overrides=SETTINGS), sentences, out))
    return out


@pytest.fixture(scope="session")
def bundle(run: Path, sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run's bundle, FP32 alone; not to be changed."""
    out = tmp_path_factory.mktemp("bundles") / "tiny"
    assert main(["export", str(run), "--out", str(out), "--store", str(sentences), "--quiet"]) == 0
    return out


@pytest.fixture(scope="session")
def quantised(bundle: Path, sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundle with 8-bit files."""
    (copy := tmp_path_factory.mktemp("quantised") / "tiny").mkdir()
    for file in bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    loose = ["--set", "quantize.min_speedup=0", "--set", "quantize.max_bytes_fixed=200000"]
    assert main(["quantize", str(copy), "--store", str(sentences), "--clips", "30", "--quiet", *loose]) == 0
    return copy


@pytest.fixture(scope="session")
def settings() -> list[str]:
    """The values of that run, as texts for --set."""
    return SETTINGS
