"""What goes wrong for somebody on the first day, each with what is right: cameras, own takes, folders, tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.runtime.pipeline import feed
from last_edge.runtime.sources import live
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli import main
from last_edge.tools.extract import run as extract_run
from tests.data.readers.samples import posed

ZOO = Path(__file__).parents[2] / "zoo"
HAND = get_layout("mediapipe_hand21")
Printed = pytest.CaptureFixture[str]


def hands(frames: int = 40, *, seed: int = 0) -> np.ndarray:
    """(T, 21, 3) of a hand in the picture that moves."""
    random = np.random.default_rng(seed)
    points = np.tile(random.uniform(0.3, 0.6, (21, 3)), (frames, 1, 1))
    points[:, 9, 1] = points[:, 0, 1] - 0.2
    return np.asarray(points + np.cumsum(random.normal(0, 0.004, (frames, 1, 3)), axis=0), np.float32)


class Detector:
    """Points of one layout that move with the images' grey."""

    model, side, warning = "fake", "", ""

    def __init__(self, layout: str) -> None:
        self.layout = get_layout(layout)

    def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
        rest = np.random.default_rng(0).uniform(0.2, 0.6, (self.layout.joints, 3))
        return np.asarray(rest + [image.mean() / 500, 0, 0], np.float32)

    def close(self) -> None:
        return


@pytest.fixture
def detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image shows a skeleton."""
    for module in (feed, extract_run):
        monkeypatch.setattr(module, "create_landmarks", lambda kind, **how: Detector(of_kind(kind, how)))


def of_kind(kind: str, how: dict[str, Any]) -> str:
    return {"hand": "mediapipe_hand21", "pose": "mediapipe_pose33"}.get(kind, "mediapipe_holistic75")


def film(path: Path, frames: int = 30) -> Path:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (48, 32))
    for frame in range(frames):
        writer.write(np.full((32, 48, 3), 8 * frame % 250, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("0", 5, "camera 0 is absent or in use"),
        ("/dev/video0", 5, "camera 0 is absent or in use"),
        ("nvarguscamerasrc ! appsink", 5, "GStreamer"),
        ("csi:0", 5, "GStreamer"),
        ("cam:0,rotate=180", 2, "--rotate 90|180|270, --flip and --fps stand beside --source"),
        ("clip.mov", 3, "a camera is cam:0"),
    ],
)
def test_a_camera_by_any_name_is_looked_for_as_a_camera(
    source: str, code: int, said: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "open_capture", lambda target, by=None: None)
    assert main(["run", str(ZOO / "last_lite_nano_shrec14"), "--source", source, "--no-window"]) == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_shipped_bundle_is_measured_on_own_takes(tmp_path: Path, capsys: Printed) -> None:
    """Takes have one of the bundle's labels; it is the only one of its store, at another place."""
    with writing_store(tmp_path / "played", layout=HAND, units="image01", labels=()) as writer:
        writer.add(SkeletonClip.from_points(hands()[None], layout=HAND, fps=30, units="image01"))
    bundle, mine = str(ZOO / "last_lite_nano_shrec14"), str(tmp_path / "mine")
    command = ["record", mine, "--source", f"store:{tmp_path / 'played'}", "--label", "swipe right"]
    assert main([*command, "--split", "test", "--bundle", bundle, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["eval", bundle, "--store", mine, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 1 and figures["top1"] in (0.0, 100.0)
    assert len(figures["absent"]) == 13 and "swipe right" not in figures["absent"]


def test_folders_of_videos_keep_split_label_and_person(tmp_path: Path, capsys: Printed, detected: None) -> None:
    for place in ("train/hello/anna", "train/bye/anna", "test/hello/ben", "test/bye/ben"):
        film(tmp_path / "films" / place / "1.avi")
    command = ["data", "extract", str(tmp_path / "films"), "--layout", "mediapipe_hand21", "--jobs", "1"]
    out = tmp_path / "out"
    assert main([*command, "--out", str(out)]) == 2
    assert "--folders split/label/person" in capsys.readouterr().err
    assert main([*command, "--folders", "split/label/person", "--out", str(out), "--quiet"]) == 0
    index = ClipStore.open(out / "store").index
    assert sorted(zip(index.split.tolist(), index.subject.tolist(), strict=True)) == [
        ("test", "ben"), ("test", "ben"), ("train", "anna"), ("train", "anna"),
    ]  # fmt: skip
    again = [*command, "--folders", "-/label/person", "--leave-out", "anna", "--out", str(out), "--quiet"]
    assert main(again) == 0
    store = ClipStore.open(out / "store")
    assert store.labels == ("bye", "hello") and set(store.index.subject[store.select(split="test")]) == {"anna"}


def test_gates_judge_a_store_without_labels(tmp_path: Path, capsys: Printed) -> None:
    arrays = {"frames": hands(60), "lengths": np.array([30, 30]), "split": np.array(["train", "test"])}
    np.savez(tmp_path / "a.npz", **arrays)
    command = ["data", "prepare", "npz", str(tmp_path), "--layout", "mediapipe_hand21", "--units", "image01"]
    assert main([*command, "--out", str(tmp_path / "store"), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["data", "info", str(tmp_path / "store"), "--gates", "--json"]) == 4
    said = capsys.readouterr()
    assert "every clip has a label" in said.err and "Traceback" not in said.err


def test_frames_are_played_by_the_numbers_in_their_names(tmp_path: Path, detected: None) -> None:
    import cv2

    for name, form in (("padded", "{:05d}.jpg"), ("plain", "frame{}.jpg")):
        (tmp_path / name).mkdir()
        for number in range(40):
            cv2.imwrite(str(tmp_path / name / form.format(number)), np.full((32, 48, 3), 6 * number, np.uint8))
    answers = []
    for name in ("padded", "plain"):
        events = tmp_path / f"{name}.jsonl"
        command = ["run", str(ZOO / "last_lite_nano_shrec14"), "--source", str(tmp_path / name), "--no-window"]
        assert main([*command, "--quiet", "--events", str(events)]) == 0
        lines = [json.loads(line) for line in events.read_text().splitlines()]
        answers += [line["prediction"]["top"] for line in lines if line["type"] == "clip"]
    assert len(answers) == 2 and answers[0] == answers[1]


@pytest.mark.parametrize("bundle", ["last_lite_nano_utd27", "last_e_nano_utd27"])
def test_a_bundle_of_a_kinect_sees_a_film_and_a_replay(
    bundle: str, tmp_path: Path, capsys: Printed, detected: None
) -> None:
    source = film(tmp_path / "clip.avi")
    assert main(["run", str(ZOO / bundle), "--source", str(source), "--no-window", "--quiet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["layout"] == "mediapipe_pose33" and summary["frames_with_points"] == summary["frames"] == 30
    (tmp_path / "clip.pose").write_bytes(posed())
    assert main(["run", str(ZOO / bundle), "--source", f"replay:{tmp_path / 'clip.pose'}", "--no-window"]) == 0


def test_folders_of_arrays_are_labels_and_one_clip_needs_no_lengths(tmp_path: Path) -> None:
    for label, seed in (("hello", 0), ("bye", 1)):
        (tmp_path / "n" / label).mkdir(parents=True)
        np.savez(tmp_path / "n" / label / "1.npz", frames=hands(seed=seed))
    command = ["data", "prepare", "npz", str(tmp_path / "n"), "--layout", "mediapipe_hand21", "--units", "image01"]
    assert main([*command, "--out", str(tmp_path / "store"), "--quiet"]) == 0
    store = ClipStore.open(tmp_path / "store")
    assert store.labels == ("bye", "hello") and store.index.length.tolist() == [40, 40]


def test_one_damaged_file_among_many_is_left_out_by_name(tmp_path: Path, capsys: Printed) -> None:
    for label in ("a", "b"):
        (tmp_path / "l" / label).mkdir(parents=True)
        (tmp_path / "l" / label / "1.pose").write_bytes(posed())
    (tmp_path / "l" / "b" / "3.pose").write_bytes(b"")
    command = ["data", "prepare", "pose", str(tmp_path / "l"), "--out", str(tmp_path / "s"), "--json"]
    assert main(command) == 0
    prepared = json.loads(capsys.readouterr().out)
    assert prepared["clips"] == 2 and len(prepared["damaged"]) == 1 and "3.pose" in prepared["damaged"][0]
    assert main([*command, "--force", "--strict"]) == 3


@pytest.mark.parametrize(
    ("text", "clips", "told"),
    [
        ("\ufefffile,label\na/1.pose,a\nb/2.pose,b\n", 2, ""),
        ("file;label\na/1.pose;a\nb/2.pose;b\n", 2, ""),
        ("file,label\na/1.pose,a\nb/2.pose,b\nb/3.pose,b\nb/4.pose,b\n", 2, "2 files in the index but absent"),
        ("file,label\na/1.pose,a\n", 1, "1 files without a row in the index, left out: b/2.pose"),
        ("file,label\na/1.pose,a\nb/2.pose\n", 1, "more or fewer fields"),
    ],
)
def test_an_index_comes_as_spreadsheets_save_it(
    text: str, clips: int, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for label, number in (("a", 1), ("b", 2)):
        (tmp_path / "l" / label).mkdir(parents=True)
        (tmp_path / "l" / label / f"{number}.pose").write_bytes(posed())
    (tmp_path / "index.csv").write_text(text, encoding="utf-8")
    command = ["data", "prepare", "pose", str(tmp_path / "l"), "--index", str(tmp_path / "index.csv")]
    assert main([*command, "--out", str(tmp_path / "s"), "--quiet"]) == 0
    assert len(ClipStore.open(tmp_path / "s")) == clips and told in caplog.text
