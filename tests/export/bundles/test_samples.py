"""Typical motions: the mean of several people, played by `run --source samples`, drawn in the card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.samples import PICTURE, SAMPLES, Samples
from last_edge.clips import ClipStore, writing_store
from last_edge.errors import EXIT_INPUT, InputError
from last_edge.export.bundles.samples import add_samples, typical_motions
from last_edge.inputs import InputSpec
from last_edge.runtime.sources import open_source
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli import main
from last_edge.tools.cli.web import clips_to_play

HAND = get_layout("mediapipe_hand21")
MakeBundle = Callable[..., Path]
SPEC = InputSpec(HAND, 16, 3, 1)


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    """Two people go left and right, each at a place and of a size of their own; one alone goes to the middle."""
    with writing_store(tmp_path / "store", layout=HAND, units="image01") as writer:
        for number, (label, who) in enumerate([(la, w) for la in ("left", "right") for w in "ab"] + [("middle", "a")]):
            size = {"a": 0.1, "b": 0.2}[who]
            points = np.zeros((1, 30, 21, 3), np.float32) + number
            points[..., 1] += size * np.arange(21) / 9
            points[..., 0] += size * np.linspace(0, {"left": -4, "right": 4, "middle": 0}[label], 30)[:, None]
            writer.add(SkeletonClip.from_points(
                points, layout=HAND, fps=30, units="image01", label=label, subject=who, source_id=str(number),
                split="train",
            ))  # fmt: skip
    return ClipStore.open(tmp_path / "store")


def test_a_typical_motion_is_the_mean_of_people_brought_to_one_place_and_size(store: ClipStore) -> None:
    samples = typical_motions(store, SPEC, ("left", "middle", "right"))
    assert samples.labels == ("left", "right"), "one person's clips alone are no mean"
    paths = samples.points[:, 0, -1, 0, 0] - samples.points[:, 0, 0, 0, 0]
    size = np.linalg.norm(samples.points[0, 0, 0, 9] - samples.points[0, 0, 0, 0])
    np.testing.assert_allclose(paths / size, [-4, 4], atol=1e-3)
    assert samples.fps == pytest.approx(16)


def test_bytes_come_back_and_damaged_ones_are_refused(store: ClipStore) -> None:
    samples = typical_motions(store, SPEC, ("left", "right"))
    again = Samples.from_bytes(samples.to_bytes(), where="here")
    assert again.labels == samples.labels and again.points.tobytes() == samples.points.tobytes()
    assert samples.to_bytes() == again.to_bytes()
    with pytest.raises(InputError):
        Samples.from_bytes(samples.to_bytes()[:-40], where="here")


def test_a_bundle_gains_them_a_picture_and_a_card_that_shows_it(store: ClipStore, make_bundle: MakeBundle) -> None:
    path = make_bundle()
    assert PICTURE not in Bundle.open(path).read("card.md").decode()
    add_samples(path, store)
    bundle = Bundle.open(path)
    root = ElementTree.fromstring(bundle.read(PICTURE))
    moving = root.findall(".//{http://www.w3.org/2000/svg}animate")
    assert len(moving) == 2
    for one in moving:
        shapes, moments = one.attrib["values"].split(";"), one.attrib["keyTimes"].split(";")
        assert len(shapes) == len(moments) > 2 and len(set(shapes)) > 2
        assert {shape.count("M") for shape in shapes} == {len(HAND.edges)}
    assert f"]({PICTURE})" in bundle.read("card.md").decode()


def test_the_page_plays_them(store: ClipStore, make_bundle: MakeBundle) -> None:
    path = make_bundle()
    add_samples(path, store)
    clips = clips_to_play(Bundle.open(path), None, 1)
    assert [(clip.label, clip.points.shape[1]) for clip in clips] == [("left", 16)]


def test_a_run_plays_them_and_finds_every_one(
    store: ClipStore, make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bundle(accept=0.5)
    assert main(["run", str(path), "--source", "samples", "--no-window", "--json"]) == EXIT_INPUT
    assert "last-edge samples" in capsys.readouterr().err
    assert main(["samples", str(path), "--store", str(store.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [SAMPLES, PICTURE]
    assert main(["run", str(path), "--source", "samples", "--decode", "segments", "--no-window", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["events"] == 2
    source = open_source(f"samples:{path}", layout=HAND)
    assert [frame.label for frame in source][:: 16 + 48] == ["left", "right"]
