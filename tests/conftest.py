"""Shared fixtures: small layouts, and a store of toy motions that a tiny model learns in seconds."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest

from last_edge.clips.writer import writing_store
from last_edge.skeleton import Layout, SkeletonClip, get_layout

TOY = Layout(
    name="toy5",
    names=("root", "left", "right", "left_tip", "right_tip"),
    parents=(0, 0, 0, 1, 2),
    pairs=((1, 2), (3, 4)),
    centre=(0,),
    scale=((0,), (1,)),
)
LABELS = ("raise", "lower", "wave")
REST = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [2, 0, 0], [-2, 0, 0]], np.float32)


def toy_points(label: int, random: np.random.Generator) -> np.ndarray:
    """(1, T, 5, 3) of one of three motions of the left arm, with noise, a place and a size of its own."""
    frames = int(random.integers(12, 30))
    time = np.linspace(0, 1, frames)
    lift = {0: time, 1: -time, 2: np.sin(6 * np.pi * time)}[label]
    points = np.tile(REST, (frames, 1, 1))
    points[:, 3, 1] += lift
    points[:, 1, 1] += lift / 2
    points = points * random.uniform(0.8, 1.2) + random.normal(0, 1, 3) + random.normal(0, 0.05, points.shape)
    return points[None].astype(np.float32)


@pytest.fixture(scope="session")
def toy_layout() -> Layout:
    """Five joints: a root and two arms."""
    return TOY


@pytest.fixture(scope="session")
def toy_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 clips, 3 classes, 6 subjects; subjects 5 and 6 are the test split."""
    path = tmp_path_factory.mktemp("stores") / "toy"
    random = np.random.default_rng(7)
    with writing_store(path, layout=TOY, units="metres", labels=LABELS, about={}, force=False) as writer:
        for number in range(72):
            subject, label = number % 6 + 1, number // 6 % 3
            clip = SkeletonClip.from_points(
                toy_points(label, random),
                layout=TOY,
                fps=30,
                units="metres",
                label=LABELS[label],
                subject=str(subject),
                source_id=f"clip{number:03d}",
                split="test" if subject > 4 else "train",
            )
            writer.add(clip)
    return path


@pytest.fixture(scope="session")
def ntu25() -> Layout:
    """The 25 joints of NTU RGB+D, the layout all published counts refer to."""
    return get_layout("ntu25")
