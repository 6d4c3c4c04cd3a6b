"""`last-edge compare`: the figures of two artefacts on one store, and when a difference is called shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.errors import EXIT_INPUT, EXIT_USAGE
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import SkeletonClip
from last_edge.tools.cli import main
from last_edge.tools.experiments.compare import Answered, compared

ZOO = Path(__file__).parents[3] / "zoo"


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 24 random hands whose labels are what the zoo's student answers to all but two of them."""
    path, random = tmp_path_factory.mktemp("hands") / "store", np.random.default_rng(0)
    with Recogniser.open(ZOO / "last_lite_nano_shrec14", precision="fp32") as model:
        clips = []
        for number in range(24):
            points = random.normal(0, 0.02, (1, 20, 22, 3)).cumsum(1).astype(np.float32)
            label = model.predict(points[0], fps=30).top[0].label
            label = model.labels[number] if number < 2 else label
            about = {"split": "test", "subject": f"p{number % 3}", "source_id": str(number), "label": label}
            clips.append(SkeletonClip.from_points(points, layout=model.layout, fps=30.0, units="metres", **about))
    with writing_store(path, layout=clips[0].layout, units="metres", labels=None, about={}) as writer:
        for clip in clips:
            writer.add(clip)
    return path


def test_two_names_of_the_zoo_are_compared_clip_by_clip(hands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "last_lite_nano_shrec14", "last_e_nano_shrec14", "--store", str(hands), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 24 and found["top1"][0] >= 90
    assert found["difference"] == pytest.approx(found["top1"][0] - found["top1"][1], abs=0.02)
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    assert found["verdict"] == "a difference is shown" and found["p"] < 0.05
    wins = sum(row["wins"] - row["losses"] for row in found["by_subject"].values())
    assert wins == round(found["difference"] * 24 / 100)


def test_a_model_is_no_better_than_itself(hands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(ZOO / "last_lite_nano_shrec14")
    assert main(["compare", f"{name}:fp32", name, "--store", str(hands)]) == 0
    shown = capsys.readouterr().out
    assert "no difference shown" in shown and "none differs" in shown


def test_several_are_compared_with_one_in_a_page_and_as_json(
    hands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "last_lite_nano_shrec14", "last_e_nano_shrec14", "last_lite_nano_shrec14:int8"]
    page = tmp_path / "page.md"
    assert main([*words, "--store", str(hands), "--out", str(page), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["comparisons"]
    assert [row["other"] for row in rows] == words[2:]
    text = page.read_text()
    assert f"| {words[1]} | {words[2]} | {rows[0]['difference']:+.2f} |" in text and "| p1 |" in text
    assert main([*words, "--store", str(hands), "--out", str(page)]) == EXIT_USAGE
    assert "will not overwrite" in capsys.readouterr().err


def test_what_is_no_artefact_is_named(hands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "last_lite_nano_shrec14", "last_lite_shrec", "--store", str(hands)]) == EXIT_INPUT
    assert "last_lite_nano_shrec14" in capsys.readouterr().err


def test_both_the_interval_and_the_p_must_agree(hands: Path) -> None:
    store = ClipStore.open(hands)
    clips = np.arange(24)
    one, other = np.ones(24, bool), np.ones(24, bool)
    other[:5] = False
    about = np.array(store.labels)[store.index.label[clips]], store.index.subject[clips].astype(str)
    close = compared(Answered("a", one, *about), Answered("b", other, *about))
    assert close["interval"][0] > 0 and close["p"] > 0.05 and close["verdict"] == "no difference shown"
    other[:8] = False
    assert compared(Answered("a", one, *about), Answered("b", other, *about))["verdict"].startswith("a diff")
