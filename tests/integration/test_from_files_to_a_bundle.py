"""Three commands from what people have to an INT8 bundle that runs: prepare, train, run; each on small files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.clips import ClipStore
from last_edge.skeleton import get_layout
from last_edge.tools.cli import main
from last_edge.tools.extract import run as extract_run

WORDS = ("hello", "thanks")
SMALL = [
    "input.frames=16", "training.epochs=12", "training.batch_size=8", "training.lr=0.02", "training.warmup_epochs=1",
    "augment.rotation_deg=0", "augment.shear=0", "validation.fraction=0", "quantize.min_speedup=0",
]  # fmt: skip


def waved(word: int, take: int, frames: int, joints: int) -> np.ndarray:
    """(T, V, 3) of a skeleton in the image that rises for one word and goes aside for the other."""
    random = np.random.default_rng(100 * word + take)
    points = np.tile(np.random.default_rng(7).uniform(0.3, 0.7, (joints, 3)), (frames, 1, 1))
    points[..., 1 - word] += np.linspace(0, 0.25, frames)[:, None] * random.uniform(0.8, 1.2)
    return np.asarray(points + random.normal(0, 0.004, points.shape))


def train_and_run(store: Path, place: Path, source: str, capsys: pytest.CaptureFixture[str], *fit: str) -> str:
    """The second and the third command; what the INT8 bundle says of a source."""
    run = place / "run"
    sets = [part for text in (*SMALL, *fit) for part in ("--set", text)]
    command = ["train", "--store", str(store), "--model", "last_lite_nano", "--out", str(run), "--bundle", *sets]
    assert main([*command, "--quiet", "--threads", "1"]) == 0
    assert Bundle.open(run / "bundle").precisions == ("fp32", "int8")
    events = place / "events.jsonl"
    capsys.readouterr()
    command = ["run", str(run / "bundle"), "--source", source, "--precision", "int8", "--no-window", "--json"]
    assert main([*command, "--events", str(events)]) == 0
    summary: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert summary["precision"] == "int8" and summary["frames_with_points"] == summary["frames"] > 0
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    (clip,) = [line for line in lines if line["type"] == "clip"]
    return str(clip["prediction"]["top"][0]["label"])


def test_a_folder_of_phone_videos_named_by_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The detector here reads a film's grey: which word it is of, which take, and how far it is played."""
    import cv2

    from last_edge.runtime.pipeline import feed

    class Detector:
        layout, model, side, warning = get_layout("mediapipe_hand21"), "hand", "right", ""

        def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
            word, take = int(image[:, :8].mean() > 128), round(float(image[:, -8:].mean()) / 20)
            return waved(word, take, 24, 21)[min(round(timestamp_s * 24), 23)].astype(np.float32)

        def close(self) -> None:
            return

    for module in (extract_run, feed):
        monkeypatch.setattr(module, "create_landmarks", lambda *kind, **how: Detector())
    for word, name in enumerate(WORDS):
        for take in range(10):
            film = tmp_path / "films" / name / ("anna", "ben")[take % 2] / f"{take}.avi"
            film.parent.mkdir(parents=True, exist_ok=True)
            writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 24.0, (48, 32))
            image = np.full((32, 48, 3), 255 * word, np.uint8)
            image[:, 24:] = 20 * take
            for _ in range(24):
                writer.write(image)
            writer.release()
    store = tmp_path / "store"
    command = ["data", "prepare", "videos", str(tmp_path / "films"), "--layout", "mediapipe_hand21", "--jobs", "1"]
    assert main([*command, "--folders", "label/person", "--leave-out", "ben", "--out", str(store), "--quiet"]) == 0
    assert set(ClipStore.open(store).index.subject.tolist()) == {"anna", "ben"}
    film = tmp_path / "films" / "thanks" / "ben" / "9.avi"
    assert train_and_run(store, tmp_path, str(film), capsys) == "thanks"


@pytest.mark.slow
def test_a_folder_of_thirty_frames_of_1662_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for word, name in enumerate(WORDS):
        for take in range(10):
            points = waved(word, take, 30, 543)
            pose = np.concatenate([points[:, :33], np.ones((30, 33, 1))], axis=-1)
            rows = np.concatenate([part.reshape(30, -1) for part in (pose, points[:, 33:501], points[:, 501:])], axis=1)
            place = tmp_path / "MP_Data" / name / str(take)
            place.mkdir(parents=True)
            for number, row in enumerate(rows):
                np.save(place / f"{number}.npy", row)
    store = tmp_path / "store"
    command = ["data", "prepare", "mediapipe_npy", str(tmp_path / "MP_Data"), "--test-share", "0.2", "--quiet"]
    assert main([*command, "--out", str(store)]) == 0
    opened = ClipStore.open(store)
    assert opened.layout.name == "mediapipe_holistic83" and opened.index.length.tolist() == [30] * 20
    number = int(np.flatnonzero(opened.index.label == opened.labels.index("thanks"))[-1])
    assert train_and_run(store, tmp_path, f"store:{store}#{number}", capsys) == "thanks"


@pytest.mark.slow
def test_a_sample_of_the_isolated_signs_competition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    rows, kinds = ["path,participant_id,sequence_id,sign"], {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}
    names = np.concatenate([np.repeat(kind, size) for kind, size in kinds.items()])
    index = np.concatenate([np.arange(size) for size in kinds.values()])
    source = tmp_path / "asl-signs"
    for word, name in enumerate(WORDS):
        for take in range(10):
            path = source / "train_landmark_files" / str(take % 3) / f"{word}{take}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            points = waved(word, take, 20, 543)
            points[:, 468:489] = np.nan
            columns = {"frame": np.repeat(np.arange(20), 543), "type": np.tile(names, 20)}
            columns |= {"landmark_index": np.tile(index, 20)}
            columns |= {axis: points[..., place].reshape(-1) for place, axis in enumerate("xyz")}
            pyarrow.parquet.write_table(pyarrow.table(columns), path)
            rows.append(f"{path.relative_to(source)},{take % 3},{word}{take},{name}")
    (source / "train.csv").write_text("\n".join(rows) + "\n")
    store = tmp_path / "store"
    command = ["data", "prepare", "asl_signs", str(source), "--layout", "mediapipe_hand21", "--leave-out", "2"]
    assert main([*command, "--out", str(store), "--quiet"]) == 0
    opened = ClipStore.open(store)
    number = int(np.flatnonzero(opened.index.label == opened.labels.index("thanks"))[-1])
    assert train_and_run(store, tmp_path, f"store:{store}#{number}", capsys) == "thanks"
