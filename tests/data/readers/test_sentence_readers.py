"""Readers of sentences: How2Sign, PHOENIX, .pose with a table; what is malformed is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.clips.pose_file import OPENPOSE_PARTS
from last_edge.data.readers.archive import leaving_out
from last_edge.data.readers.how2sign import read_how2sign
from last_edge.data.readers.phoenix import read_phoenix
from last_edge.data.readers.pose import read_pose_tsv
from last_edge.errors import InputError, UsageError
from last_edge.tools.cli import main

SENTENCES = {"aaa_0-1-rgb_front": ("Hi, I am Ann!", 4), "aaa_1-1-rgb_front": ("Bend it, slowly.", 2)}
HEADING = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\n"


def person(frame: int) -> dict[str, list[float]]:
    """x 128 + joint, y 72 times the frame, confidence .5, of every part; the first hand point is not found."""
    parts = {}
    for name, first, count in OPENPOSE_PARTS:
        rows = [[128.0 + first + joint, 72.0 * frame, 0.5] for joint in range(count)]
        rows[0] = [0.0, 0.0, 0.0] if name.startswith("hand") else rows[0]
        parts[name] = [value for row in rows for value in row]
    return parts


@pytest.fixture
def how2sign(tmp_path: Path) -> Path:
    folder = tmp_path / "how2sign"
    for sentence, (_, frames) in SENTENCES.items():
        (folder / "openpose" / sentence).mkdir(parents=True)
        for frame in range(frames):
            people = [] if frame == 1 else [person(frame), person(9)]
            file = folder / "openpose" / sentence / f"{sentence}_{frame:012d}_keypoints.json"
            file.write_text(json.dumps({"version": 1.3, "people": people}))
    rows = [
        f"aaa\taaa-1\taaa_{place}\t{name}\t0.1\t2.0\t{text}\n"
        for place, (name, (text, _)) in enumerate(SENTENCES.items())
    ]
    (folder / "how2sign_realigned_train.csv").write_text(HEADING + rows[0])
    (folder / "how2sign_realigned_val.csv").write_text(
        (HEADING + rows[1].replace("Bend it, slowly.", '"Bend it, slowly."')).replace("\t", ",")
    )
    return folder


def test_how2sign_key_points_meet_their_sentences(how2sign: Path, tmp_path: Path) -> None:
    first, second = read_how2sign(how2sign)
    assert (first.text, first.split, first.subject) == ("Hi, I am Ann!", "train", "aaa")
    assert (second.text, second.split, second.frames) == ("Bend it, slowly.", "val", 2)
    assert first.coords.shape == (1, 4, 137, 2) and (first.layout.name, first.fps) == ("openpose137", 24.0)
    assert first.coords[0, 2, 5].tolist() == pytest.approx([133 / 720, 144 / 720])
    assert first.confidence[0, 2, 5] == 0.5 and np.isnan(first.coords[0, 2, 25]).all()
    assert np.isnan(first.coords[0, 1]).all()
    store = tmp_path / "store"
    assert main(["data", "prepare", "how2sign", str(how2sign), "--out", str(store), "--quiet"]) == 0
    assert ClipStore.open(store).index.text.tolist() == ["Hi, I am Ann!", "Bend it, slowly."]


def damage_json(folder: Path, change: Callable[[dict[str, list[float]]], object]) -> None:
    file = next((folder / "openpose" / "aaa_0-1-rgb_front").glob("*_000000000002_keypoints.json"))
    one = person(2)
    change(one)
    file.write_text(json.dumps({"people": [one]}))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda f: damage_json(f, lambda one: one["face_keypoints_2d"].pop()), "face_keypoints_2d of the wrong length"),
        (lambda f: damage_json(f, lambda one: one.pop("pose_keypoints_2d")), "pose_keypoints_2d of the wrong length"),
        (
            lambda f: damage_json(f, lambda one: one["pose_keypoints_2d"].__setitem__(0, float("nan"))),
            "NaN or infinite",
        ),
        (lambda f: next(f.glob("openpose/*/*_000000000001_*")).write_text("{"), "not a JSON file"),
        (lambda f: next(f.glob("openpose/*/*_000000000001_*")).write_text("[]"), "not a key point file"),
        (lambda f: next(f.glob("openpose/*/*_000000000000_*")).unlink(), "without a gap"),
        (lambda f: (f / "how2sign_realigned_val.csv").write_text("A,B\n1,2\n"), "wrong columns"),
        (lambda f: (f / "how2sign_realigned_val.csv").write_text(HEADING + "x\ty\n"), "more or fewer fields"),
        (lambda f: shutil.copy(f / "how2sign_realigned_train.csv", f / "how2sign_realigned_test.csv"), "listed twice"),
        (lambda f: (f / "how2sign_realigned_val.csv").write_bytes(b"\xff\xfe\x00"), "not a UTF-8"),
        (lambda f: [file.unlink() for file in f.glob("*.csv")], "no table of sentences"),
        (lambda f: shutil.rmtree(f / "openpose"), "no key points of a listed sentence"),
    ],
)
def test_malformed_how2sign_is_refused_by_name(how2sign: Path, damage: Callable[[Path], object], named: str) -> None:
    damage(how2sign)
    with pytest.raises(InputError, match=named):
        list(read_how2sign(how2sign))


@pytest.fixture
def phoenix(tmp_path: Path) -> Path:
    folder, random = tmp_path / "phoenix", np.random.default_rng(0)
    folder.mkdir()
    for split, count in (("train", 2), ("dev", 1)):
        lines = [line_of(random.normal(0, 0.2, (5, 150))) for _ in range(count)]
        (folder / f"{split}.skels").write_text("".join(f"{line}\n" for line in lines))
        (folder / f"{split}.text").write_text("regen  im süden .\n" * count)
        (folder / f"{split}.gloss").write_text("SUED REGEN\n" * count)
        (folder / f"{split}.files").write_text("".join(f"{split}/clip-{number}\n" for number in range(count)))
    return folder


def line_of(points: np.ndarray) -> str:
    counter = np.arange(len(points)) / len(points)
    return " ".join(f"{value:.5f}" for value in np.concatenate([points, counter[:, None]], axis=1).ravel())


def test_phoenix_lines_become_clips(phoenix: Path, tmp_path: Path) -> None:
    clips = list(read_phoenix(phoenix))
    assert [clip.split for clip in clips] == ["train", "train", "val"]
    assert {clip.text for clip in clips} == {"regen im süden ."} and clips[2].source_id == "dev/clip-0"
    assert clips[0].coords.shape == (1, 5, 50, 3) and clips[0].fps == 25.0
    numbers = np.array((phoenix / "train.skels").read_text().split("\n")[0].split(), np.float32)
    assert np.allclose(clips[0].coords[0, 1, 2], numbers[151 + 6 : 151 + 9])
    assert {clip.text for clip in read_phoenix(phoenix, target="gloss")} == {"SUED REGEN"}
    assert (
        main(["data", "prepare", "phoenix", str(phoenix), "--out", str(tmp_path / "s"), "--target", "gloss", "--quiet"])
        == 0
    )
    with pytest.raises(UsageError, match="target"):
        list(read_phoenix(phoenix, target="speech"))


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda f: edit(f / "train.skels", lambda text: text.replace(" ", " 0.1 ", 1)), "wrong count of numbers"),
        (lambda f: edit(f / "train.skels", lambda text: "x" + text), "not a number"),
        (lambda f: edit(f / "dev.skels", lambda text: "nan" + text[text.index(" ") :]), "NaN or infinite"),
        (
            lambda f: edit(f / "dev.skels", lambda text: line_of(np.zeros((3, 150))).replace("0.66667", "0.1") + "\n"),
            "counter",
        ),
        (lambda f: edit(f / "train.text", lambda text: text + "noch einer .\n"), "files of different length"),
        (lambda f: (f / "dev.text").unlink(), "a file of the split is absent"),
        (lambda f: [file.unlink() for file in f.iterdir()], "no sentences found"),
    ],
)
def test_malformed_phoenix_is_refused_by_name(phoenix: Path, damage: Callable[[Path], object], named: str) -> None:
    damage(phoenix)
    with pytest.raises(InputError, match=named):
        list(read_phoenix(phoenix))


def test_one_bad_line_of_phoenix_stops_no_other(phoenix: Path) -> None:
    edit(phoenix / "train.skels", lambda text: text.replace(" ", " 0.1 ", 1))
    with leaving_out() as faults:
        clips = list(read_phoenix(phoenix))
    assert [clip.source_id for clip in clips] == ["train/clip-1", "dev/clip-0"]
    assert [fault.what for fault in faults] == ["wrong count of numbers"]


def test_the_real_phoenix_samples_are_read(real: Callable[[str], Path]) -> None:
    clips = list(read_phoenix(real("sentences/phoenix_skeleton_samples")))
    assert [sum(clip.split == split for clip in clips) for split in ("train", "val", "test")] == [5, 5, 5]
    assert clips[5].frames == 42 and clips[5].text.startswith("tiefer luftdruck bestimmt")
    for clip in clips:
        assert np.isfinite(clip.coords).all() and (clip.coords[0, :, 1] == 0).all()
        shoulders = np.linalg.norm(clip.coords[0, :, 2] - clip.coords[0, :, 5], axis=-1)
        assert 0.2 < shoulders.mean() < 0.5


@pytest.fixture
def posed(tmp_path: Path, real: Callable[[str], Path]) -> Path:
    folder = tmp_path / "posed"
    folder.mkdir()
    shutil.copy(real("clips/mediapipe.pose"), folder / "a.pose")
    shutil.copy(real("clips/mediapipe.pose"), folder / "b.pose")
    (folder / "table.tsv").write_text(
        "file\ttext\tsplit\tsubject\na.pose\tHello, you.\ttrain\tann\nb.pose\tBye.\ttest\tbob\n"
    )
    return folder


def test_pose_files_meet_their_table(posed: Path, tmp_path: Path) -> None:
    first, second = read_pose_tsv(posed, axes=2)
    assert (first.text, first.split, first.subject) == ("Hello, you.", "train", "ann")
    assert second.text == "Bye." and second.coords.shape[0] == 1 and second.coords.shape[-1] == 2
    out = ["--out", str(tmp_path / "s"), "--quiet", "--index", str(posed / "table.tsv")]
    assert main(["data", "prepare", "pose_tsv", str(posed), "--layout", "mediapipe_holistic75", *out]) == 0
    store = ClipStore.open(tmp_path / "s")
    assert store.layout.name == "mediapipe_holistic75" and store.index.text.tolist() == ["Hello, you.", "Bye."]


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("file\ttext\na.pose\n", "more or fewer fields"),
        ("file\twords\na.pose\thi\n", "wrong columns"),
        ("file\ttext\na.pose\thi\na.pose\tho\n", "a file twice"),
        ("file\ttext\na.pose\t \n", "without text"),
        ("file\ttext\tsplit\na.pose\thi\tdev\n", "unknown split"),
        ("file\ttext\nabsent.pose\thi\n", "a file of the table is absent"),
        ("file\ttext\n", "an empty table"),
    ],
)
def test_malformed_tables_are_refused_by_name(posed: Path, table: str, named: str) -> None:
    (posed / "table.tsv").write_text(table)
    with pytest.raises(InputError, match=named):
        list(read_pose_tsv(posed))


def test_a_table_must_be_told_apart(posed: Path) -> None:
    shutil.copy(posed / "table.tsv", posed / "other.tsv")
    with pytest.raises(InputError, match="which table"):
        list(read_pose_tsv(posed))
    (posed / "a.pose").write_bytes((posed / "a.pose").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"a\.pose"):
        list(read_pose_tsv(posed, index=posed / "table.tsv"))


def test_one_sentence_that_cannot_be_read_stops_no_other(how2sign: Path, tmp_path: Path) -> None:
    damage_json(how2sign, lambda one: one["face_keypoints_2d"].pop())
    command = ["data", "prepare", "how2sign", str(how2sign), "--out", str(tmp_path / "store"), "--quiet"]
    assert main([*command, "--strict"]) == 3 and not (tmp_path / "store").exists()
    assert main(command) == 0
    assert ClipStore.open(tmp_path / "store").index.text.tolist() == ["Bend it, slowly."]
