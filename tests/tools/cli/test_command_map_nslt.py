"""Every command of the hybrid recogniser's document is in docs/command_map.md and resolves to its values."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from last_edge.clips.features import write_features
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli import main

PAGE = (Path(__file__).parents[3] / "docs" / "command_map.md").read_text()
SECTION = PAGE.partition("## The hybrid recogniser's commands")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(--[^`]*subset[^`]*)` \| `last-edge train ([^`]*)` \|$", SECTION, flags=re.MULTILINE)
EXTRACTIONS = re.findall(r"^last-edge data extract .*$", SECTION, flags=re.MULTILINE)
DEFAULTS = {
    "optimizer": "adamw", "lr": 1e-4, "weight_decay": 1e-4, "label_smoothing": 0.1, "gradient_clip": 1.0,
    "class_weights": "balanced", "batch_size": 32, "scheduler": "cosine_warmup_epochs", "min_lr": 1e-6,
}  # fmt: skip
EXPECTED = [{"epochs": 50, "warmup_epochs": 5}, {"epochs": 100, "warmup_epochs": 10}, {"epochs": 100}]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few clips with features, in place of WLASL."""
    path, layout = tmp_path_factory.mktemp("nslt") / "store", get_layout("mediapipe_holistic75")
    random = np.random.default_rng(0)
    with writing_store(path, layout=layout, units="image01", about={}, force=False) as writer:
        for number in range(6):
            about = {"label": str(number % 2), "subject": str(number), "source_id": str(number), "split": "train"}
            points = random.normal(size=(1, 3, 75, 3))
            writer.add(SkeletonClip.from_points(points, layout=layout, fps=25, units="image01", **about))
    write_features(ClipStore.open(path), "visual", (random.normal(size=(2, 8)) for _ in range(6)), about={})
    return path


def test_the_page_has_a_row_for_each_command() -> None:
    assert len(ROWS) == len(EXPECTED)
    assert [theirs.count("nslt_1000.json") for theirs, _ in ROWS] == [0, 1, 1]


@pytest.mark.parametrize(("row", "expected"), zip(ROWS, EXPECTED, strict=True))
def test_a_row_resolves_to_the_documents_values(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: tuple[str, str], expected: dict[str, Any]
) -> None:
    words = shlex.split(row[1])
    for flag, value in (("--store", store), ("--out", tmp_path / "run")):
        words[words.index(flag) + 1] = str(value)
    assert main(["train", *words, "--dry-run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    recipe = yaml.safe_load(result["recipe"])
    wanted = DEFAULTS | expected
    assert {key: recipe["training"][key] for key in wanted} == wanted
    assert recipe["model"]["name"] == "hybrid_nslt"
    assert (recipe["model"]["options"]["width"], recipe["model"]["options"]["dropout"]) == (512, 0.5)
    warmup = recipe["training"]["warmup_epochs"]
    assert result["lr"][0] == 0 and result["lr"][warmup] == pytest.approx(1e-4)
    assert max(result["lr"]) == result["lr"][warmup]


@pytest.mark.parametrize("line", EXTRACTIONS)
def test_the_extractions_are_parsed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    index, vision = Path(words[words.index("--index") + 1]), Path(words[words.index("--vision") + 1])
    index.write_text(json.dumps({"00001": {"subset": "train", "action": [0, 1, 9]}}))
    vision.mkdir(parents=True)
    (vision / "config.json").write_text("{}")
    videos = Path(words[2])
    videos.mkdir(parents=True)
    (videos / "00001.mp4").write_bytes(b"")
    assert main([*words, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"videos": 1, "done": 0, "to do": 1, "classes": 1}
