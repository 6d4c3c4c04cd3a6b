"""Which way up a store's clips lie and in which unit, faults_of at `data prepare` and by a gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.data.axes import faults_of, lie_of, upside_down
from last_edge.data.gates import run_gates
from last_edge.data.prepare import READERS
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout, layout_names
from last_edge.tools.cli import main

BODIES = ("body25", "coco17", "coco18", "kinect20", "mediapipe_holistic75", "mediapipe_pose33", "ntu25", "openpose137")
HANDS = ("hololens26", "leap20", "mediapipe_hand21", "shrec22")


def standing(layout: str, units: str, *, frames: int = 6) -> np.ndarray:
    """(1, T, V, 3) of a body whose head is its highest joint, or of a hand that points up."""
    names = get_layout(layout).names
    up = np.array([1.0 if "nose" in n or "head" in n or "middle" in n else 0.0 for n in names])
    points = np.zeros((1, frames, len(names), 3), np.float32)
    points[..., 1] = 0.5 + 0.3 * (up if units == "metres" else -up)
    return points


@pytest.mark.parametrize("units", ["image01", "metres"])
@pytest.mark.parametrize("layout", [*BODIES, *HANDS])
def test_every_layout_of_a_body_or_hand_tells_up_from_down(layout: str, units: str) -> None:
    points = standing(layout, units)
    assert lie_of(points, get_layout(layout), units).upside is False  # type: ignore[arg-type]
    assert lie_of(points * np.float32([1, -1, 1]), get_layout(layout), units).upside is True  # type: ignore[arg-type]


def test_only_layouts_without_head_and_wrists_cannot_tell() -> None:
    names = {
        name for name in layout_names() if lie_of(standing(name, "metres"), get_layout(name), "metres").upside is None
    }
    assert names.isdisjoint({*BODIES, *HANDS})


def test_a_few_clips_upside_down_are_none_of_the_stores_fault() -> None:
    layout = get_layout("mediapipe_hand21")
    up = lie_of(standing("mediapipe_hand21", "image01"), layout, "image01")
    down = lie_of(standing("mediapipe_hand21", "metres"), layout, "image01")
    assert upside_down([up] * 3 + [down] * 7, layout) == (0.7, False)
    assert upside_down([up] * 2 + [down] * 8, layout) == (0.8, True)


def write(folder: Path, factor: list[float], *, layout: str = "mediapipe_pose33", units: str = "image01") -> Path:
    points = standing(layout, units) * np.float32(factor)
    points += np.linspace(0, 0.01, points.shape[1], dtype=np.float32)[:, None, None] * np.float32(factor)
    folder.mkdir()
    for label in ("a", "b"):
        np.savez(folder / f"{label}.npz", frames=points[0], labels=np.array(label))
    return folder


def gates_of(store: Path) -> dict[str, bool | None]:
    return {gate.name: gate.passed for gate in run_gates(ClipStore.open(store))}


@pytest.mark.parametrize(
    ("factor", "options", "said"),
    [
        ([1, 1, 1], ["--units", "image01"], ""),
        ([1, -1, 1], ["--units", "image01"], "upside down? 100% of clips show wrists above the head"),
        ([1, 1, 1], ["--units", "metres"], "upside down?"),
        ([1, 1, 1], ["--units", "metres", "--axes", "y-down"], ""),
        ([1, 1, 1], ["--units", "world"], ""),
        ([720, 720, 720], ["--units", "image01"], "pixels? points lie at"),
        ([720, 720, 720], ["--units", "pixels", "--image-size", "1280x720"], ""),
    ],
)
def test_what_comes_in_wrong_is_told_and_fails_its_gate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, factor: list[float], options: list[str], said: str
) -> None:
    source, store = write(tmp_path / "in", factor), tmp_path / "store"
    command = ["data", "prepare", "npz", str(source), "--layout", "mediapipe_pose33", *options, "--out", str(store)]
    assert main([*command, "--quiet"]) == 0
    warned = [record.getMessage() for record in caplog.records if "?" in record.getMessage()]
    assert len(warned) == bool(said) and said in "".join(warned)
    gates = gates_of(store)
    assert (gates["upright"], gates["units"]) == ("upside" not in said, "pixels" not in said)


def test_image_heights_and_half_a_turn(tmp_path: Path) -> None:
    source = write(tmp_path / "in", [720, 720, 720])
    command = ["data", "prepare", "npz", str(source), "--layout", "mediapipe_pose33", "--quiet", "--out"]
    assert main([*command, str(tmp_path / "a"), "--units", "pixels", "--image-size", "1280x720"]) == 0
    assert main([*command, str(tmp_path / "b"), "--units", "metres", "--axes", "y-down"]) == 0
    heights, turned = (ClipStore.open(tmp_path / name) for name in "ab")
    assert heights.units == "image01" and turned.units == "metres"
    given = np.load(source / "a.npz")["frames"]
    np.testing.assert_allclose(heights.points(0)[0], given / 720, rtol=1e-6)
    np.testing.assert_array_equal(turned.points(0)[0], given * np.float32([-1, -1, 1]))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"units": "pixels"}, "go together"),
        ({"units": "image01", "image_size": "640x480"}, "go together"),
        ({"units": "image01", "axes": "y-up"}, "for --units metres"),
        ({"units": "metres", "axes": "down"}, "unknown axes"),
        ({"units": "feet"}, "metres | image01 | pixels | world"),
    ],
)
def test_units_and_axes_that_contradict_are_refused(tmp_path: Path, options: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError) as refused:
        list(READERS["npz"].read(write(tmp_path / "in", [1, 1, 1]), layout="mediapipe_pose33", **options))
    assert what in str(refused.value)


def test_a_file_that_says_its_units_is_believed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", frames=standing("mediapipe_pose33", "metres")[0], units=np.array("metres"))
    with pytest.raises(InputError, match="says its units"):
        list(READERS["npz"].read(tmp_path, layout="mediapipe_pose33", units="world"))


@pytest.mark.parametrize("name", READERS)
def test_help_says_unit_and_axes_of_every_format(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", name, "--help"]) == 0
    told_there = " ".join(capsys.readouterr().out.split())
    assert any(unit in told_there for unit in ("metres", "image heights", "their unit"))
    assert "Axes:" in told_there and ("y " in READERS[name].axes or "normalised" in READERS[name].axes)


def test_an_odd_store_is_described() -> None:
    layout = get_layout("shrec22")
    lies = [lie_of(standing("shrec22", "metres") * np.float32([1, -900, 1]), layout, "metres")] * 3
    assert [text.partition("?")[0] for text in faults_of(lies, layout, "metres")] == ["upside down", "pixels"]


def test_the_gate_reads_a_store_as_it_is(tmp_path: Path) -> None:
    clips = [
        SkeletonClip.from_points(
            standing("ntu25", "metres") * np.float32([1, -1, 1]), layout=get_layout("ntu25"), fps=30, units="metres",
            label="a", source_id=str(number),
        )
        for number in range(3)
    ]  # fmt: skip
    with writing_store(tmp_path / "s", layout=clips[0].layout, units="metres", labels=("a",)) as writer:
        for clip in clips:
            writer.add(clip)
    gate = next(gate for gate in run_gates(ClipStore.open(tmp_path / "s")) if gate.name == "upright")
    assert gate.passed is False and gate.found == "100.0%: upside down?" and gate.clips == ("0", "1", "2")
