"""Bad input at the command line: exit code 3 and a message that names the file and the reason, never a traceback."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.tools.cli import main

MakeBundle = Callable[..., Path]
Case = Callable[[Path, Path, MakeBundle], tuple[list[str], str, str]]


def prepare(name: str, source: Path, *more: str) -> list[str]:
    return ["data", "prepare", name, str(source), "--out", str(source.parent / "store"), *more]


def npz_source(folder: Path, points: np.ndarray, *more: str) -> list[str]:
    source = folder / "rec"
    source.mkdir()
    about = {"lengths": [len(points)], "labels": ["a"], "subjects": ["1"], "split": ["train"]}
    np.savez(source / "clip.npz", frames=points, **about)
    return prepare("npz", source, "--layout", "shrec22", "--units", "metres", *more)


def truncated_skeleton(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    source = folder / "ntu"
    source.mkdir()
    (source / "S001C001P001R001A001.skeleton").write_text("3\n1\n72057 0 1 1 1 1 0 0 0 2\n25\n0.1 0.2 0.3\n")
    return prepare("ntu", source), "S001C001P001R001A001.skeleton", ""


def infinite_points(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    points = np.zeros((5, 22, 3), np.float32)
    points[2, 3] = np.inf
    return npz_source(folder, points), "clip.npz", "infinite"


def not_a_number_in_text(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    clip = folder / "shrec" / "gesture_1" / "finger_1" / "subject_1" / "essai_1"
    clip.mkdir(parents=True)
    rows = [" ".join(["0.5"] * 66), " ".join(["nan"] + ["0.5"] * 65)]
    (clip / "skeletons_world.txt").write_text("\n".join(rows) + "\n")
    (folder / "shrec" / "train_gestures.txt").write_text("1 1 1 1 1 1 2\n")
    (folder / "shrec" / "test_gestures.txt").write_text("")
    return prepare("shrec17", folder / "shrec"), "skeletons_world.txt", ""


def wrong_joint_count(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    return npz_source(folder, np.zeros((5, 21, 3), np.float32)), "clip.npz", "22"


def empty_video(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    video = folder / "empty.mp4"
    video.write_bytes(b"")
    return ["run", str(bundle()), "--source", str(video), "--no-window"], "empty.mp4", ""


def truncated_store(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    shutil.copytree(store, folder / "store")
    frames = folder / "store" / "frames.npy"
    frames.write_bytes(frames.read_bytes()[:-100])
    return ["data", "info", str(folder / "store")], "frames.npy", "truncated"


def changed_store(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    shutil.copytree(store, folder / "store")
    frames = folder / "store" / "frames.npy"
    content = bytearray(frames.read_bytes())
    content[-3] ^= 1
    frames.write_bytes(content)
    return ["data", "info", str(folder / "store"), "--verify"], "frames.npy", "changed"


def changed_bundle(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    changed = bundle()
    graph = changed / "model.fp32.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    return ["run", str(changed), "--source", "synthetic", "--no-window"], "model.fp32.onnx", ""


def escaping_archive(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    path = folder / "evil.last"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../outside.txt", "x")
    return ["run", str(path), "--source", "synthetic", "--no-window"], "evil.last", "outside.txt"


def escaping_source(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    path = folder / "Skeleton.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../a1_s1_t1_skeleton.mat", b"x")
    return prepare("utd_mhad", path), "Skeleton.zip", ".."


def a_pickle(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    source = folder / "rec"
    source.mkdir()
    buffer = io.BytesIO()
    np.savez(buffer, frames=np.array([{"a": 1}], object), lengths=[1], labels=["a"], subjects=["1"], split=["train"])
    (source / "clip.npz").write_bytes(buffer.getvalue())
    return prepare("npz", source, "--layout", "shrec22", "--units", "metres"), "clip.npz", "pickle"


def a_bare_pickle(folder: Path, store: Path, bundle: MakeBundle) -> tuple[list[str], str, str]:
    source = folder / "rec"
    source.mkdir()
    (source / "clip.npz").write_bytes(pickle.dumps({"frames": [1, 2, 3]}))
    return prepare("npz", source, "--layout", "shrec22", "--units", "metres"), "clip.npz", ""


CASES: list[Case] = [
    truncated_skeleton, infinite_points, not_a_number_in_text, wrong_joint_count, empty_video, truncated_store,
    changed_store, changed_bundle, escaping_archive, escaping_source, a_pickle, a_bare_pickle,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_exit_code_3_with_file_and_reason(
    case: Case, tmp_path: Path, toy_store: Path, make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, file, reason = case(tmp_path, toy_store, make_bundle)
    code = main(arguments)
    captured = capsys.readouterr()
    assert code == 3, captured.err
    assert file in captured.err and reason in captured.err, captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "store" / "store.json").exists() or "info" in arguments
    assert not (tmp_path.parent / "outside.txt").exists()
