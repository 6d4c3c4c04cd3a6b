"""Files that people bring: each common format in its public form, what is made of it, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.data.prepare import READERS
from last_edge.data.readers.archive import table_rows
from last_edge.data.readers.mediapipe import read_asl_signs, read_landmark_csv, read_mediapipe_npy
from last_edge.data.readers.openpose import read_kinetics, read_openpose
from last_edge.data.readers.pyskl import plain_pickle, read_ctrgcn, read_pyskl
from last_edge.errors import InputError, UsageError
from last_edge.tools.cli import main
from last_edge.tools.cli.data import VIDEOS, VideoOptions
from tests.data.readers.samples import SAMPLES, moving


@pytest.mark.parametrize("name", SAMPLES)
def test_one_command_makes_a_store(name: str, tmp_path: Path) -> None:
    arguments = SAMPLES[name](tmp_path / "files")
    assert main(["data", "prepare", *arguments, "--out", str(tmp_path / "store"), "--quiet"]) == 0
    store = ClipStore.open(tmp_path / "store")
    assert len(store) >= 3 and len(store.labels) >= 2 and (store.index.label >= 0).all()


def test_a_file_a_frame_is_one_clip_in_the_order_of_numbers(tmp_path: Path) -> None:
    place = tmp_path / "hello" / "0"
    place.mkdir(parents=True)
    for number in range(12):
        row = np.full(258, 0.5)
        row[0] = number / 100
        np.save(place / f"{number}.npy", row)
    (clip,) = read_mediapipe_npy(tmp_path, image_size="640x480")
    assert clip.label == "hello" and clip.source_id == "hello/0" and clip.layout.name == "mediapipe_holistic75"
    np.testing.assert_allclose(clip.coords[0, :, 0, 0], np.arange(12) / 100 * 640 / 480, rtol=1e-5)
    np.testing.assert_allclose(clip.coords[0, :, 0, 1], 0.5)


@pytest.mark.parametrize(
    ("numbers", "layout"),
    [(1662, "mediapipe_holistic83"), (258, "mediapipe_holistic75"), (225, "mediapipe_holistic75"),
     (126, "mediapipe_hand21"), (63, "mediapipe_hand21")],
)  # fmt: skip
def test_the_number_of_numbers_says_what_they_are(numbers: int, layout: str, tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", moving(5, numbers))
    (clip,) = read_mediapipe_npy(tmp_path / "clip.npy")
    assert clip.layout.name == layout and clip.coords.shape == (1, 5, clip.layout.joints, 3)


def test_sequences_of_hands_bring_their_label(tmp_path: Path) -> None:
    rows = moving(4, 30, 100)
    rows[..., -1] = np.arange(4)[:, None]
    np.save(tmp_path / "seq.npy", rows)
    clips = list(read_mediapipe_npy(tmp_path))
    assert [clip.label for clip in clips] == ["0", "1", "2", "3"]
    expected = rows[1, :, :84].reshape(30, 21, 4)[..., 1]
    np.testing.assert_allclose(clips[1].coords[0, ..., 1], expected, rtol=1e-5)


def test_zeros_are_missing_and_a_mirrored_picture_is_flipped_back(tmp_path: Path) -> None:
    rows = moving(3, 126)
    rows[1, 63:] = 0
    rows[:, :63] = 0
    np.save(tmp_path / "clip.npy", rows)
    (plain,) = read_mediapipe_npy(tmp_path, image_size="100x100")
    (flipped,) = read_mediapipe_npy(tmp_path, image_size="100x100", mirrored="yes")
    assert np.isnan(plain.coords[0, 1]).all() and not np.isnan(plain.coords[0, 0]).any()
    np.testing.assert_allclose(flipped.coords[0, 0, :, 0], 1 - plain.coords[0, 0, :, 0], rtol=1e-5)
    (left,) = read_mediapipe_npy(tmp_path, side="left")
    assert np.isnan(left.coords).all()


def test_a_row_is_a_shape_with_or_without_heading(tmp_path: Path) -> None:
    row = np.round(moving(1, 21, 2)[0], 4)
    (tmp_path / "plain.csv").write_text(",".join(["ok", *map(str, row.reshape(-1))]) + "\n")
    columns = [f"{axis}{joint}" for axis in "xy" for joint in range(21)]
    values = [*row[:, 0], *row[:, 1]]
    (tmp_path / "headed.csv").write_text(
        ",".join([*columns, "label"]) + "\n" + ",".join([*map(str, values), "ok"]) + "\n"
    )
    headed, plain = read_landmark_csv(tmp_path, image_size="480x480", frames=3)
    assert headed.label == plain.label == "ok" and plain.coords.shape == (1, 3, 21, 2)
    np.testing.assert_allclose(headed.coords, plain.coords)
    np.testing.assert_allclose(plain.coords[0, 0], row, rtol=1e-5)


def test_numbers_become_names_and_histories_become_clips(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("1," + ",".join(["0.5"] * 32) + "\n")
    (tmp_path / "names.txt").write_text("stop\nmove\n", encoding="utf-8-sig")
    (clip,) = read_landmark_csv(tmp_path / "history.csv", label_file=tmp_path / "names.txt")
    assert clip.label == "move" and clip.coords.shape == (1, 16, 21, 2)
    assert not np.isnan(clip.coords[0, :, 8]).any() and np.isnan(clip.coords[0, :, 7]).all()
    (tmp_path / "history.csv").write_text("2," + ",".join(["0.5"] * 32) + "\n")
    with pytest.raises(InputError, match="not in the label file"):
        list(read_landmark_csv(tmp_path / "history.csv", label_file=tmp_path / "names.txt"))


def test_participants_are_subjects_and_absent_hands_are_missing(tmp_path: Path) -> None:
    SAMPLES["asl_signs"](tmp_path / "files")
    clips = list(read_asl_signs(tmp_path / "files"))
    assert [clip.subject for clip in clips] == ["7", "8", "9"] and [clip.label for clip in clips] == [
        "tv",
        "bird",
        "tv",
    ]
    assert np.isnan(clips[0].coords[0, :, 33:54]).all() and not np.isnan(clips[0].coords[0, :, 54:]).any()
    (hand, *_) = read_asl_signs(tmp_path / "files", layout="mediapipe_hand21")
    np.testing.assert_array_equal(hand.coords, clips[0].coords[:, :, 54:])


def test_a_row_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("path,participant_id,sequence_id,sign\n../../etc/passwd,1,1,a\n")
    with pytest.raises(InputError, match="leaves the folder"):
        list(read_asl_signs(tmp_path))


def test_frames_of_openpose_keep_their_time(tmp_path: Path) -> None:
    SAMPLES["openpose"](tmp_path / "files")
    clips = {clip.source_id: clip for clip in read_openpose(tmp_path / "files", image_size="640x480")}
    assert set(clips) == {"clap/a", "clap/b", "wave/a", "wave/b"} and clips["wave/a"].label == "wave"
    points = clips["wave/a"].coords
    assert points.shape == (1, 6, 25, 2) and np.isnan(points[0, 2]).all() and not np.isnan(points[0, 3]).any()
    assert np.nanmax(points[..., 0]) < 640 / 480
    with pytest.raises(UsageError, match="how large"):
        list(read_openpose(tmp_path / "files"))


@pytest.mark.parametrize(("person", "x"), [("left", 100), ("right", 500), ("largest", 500)])
def test_people_are_told_apart_by_their_place(person: str, x: int, tmp_path: Path) -> None:
    place = tmp_path / "wave" / "a"
    place.mkdir(parents=True)
    for frame in range(10):
        people = []
        for at, size in ((100 + frame, 40), (500 - frame, 60)):
            body = np.full((25, 3), 0.9)
            body[:, 0], body[:, 1] = at + np.linspace(-size, size, 25), np.linspace(100, 100 + 2 * size, 25)
            people.append({"pose_keypoints_2d": body.reshape(-1).tolist()})
        people = people[:1] if frame == 4 else people[:: 1 if frame % 2 else -1]
        (place / f"a_{frame:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    (clip,) = read_openpose(tmp_path, image_size="640x480", person=person)
    seen = np.arange(10) if x == 100 else np.delete(np.arange(10), 4)
    expected = (x + (1 if x == 100 else -1) * seen) / 480
    np.testing.assert_allclose(clip.coords[0, seen, :, 0].mean(1), expected, rtol=1e-5)
    assert np.isnan(clip.coords[0, 4]).all() == (x == 500)
    (both,) = read_openpose(tmp_path, image_size="640x480", person=person, bodies=2)
    np.testing.assert_array_equal(both.coords[0], clip.coords[0])
    assert both.coords.shape[0] == 2


@pytest.mark.parametrize(("label_index", "label"), [(None, None), (-1, None), (3, "x")])
def test_kinetics_without_a_label_index_has_no_label(label_index: object, label: str | None, tmp_path: Path) -> None:
    person = {"pose": [0.5] * 36, "score": [0.5] * 18}
    content = {"data": [{"frame_index": 1, "skeleton": [person]}] * 2, "label": "x", "label_index": label_index}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert [clip.label for clip in read_kinetics(tmp_path)] == [label]


def test_kinetics_frames_without_a_list_of_people_are_bad_input(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"frame_index": 1, "skeleton": None}], "label": "x"}))
    with pytest.raises(InputError, match="not a list of skeletons"):
        list(read_kinetics(tmp_path))


def test_kinetics_takes_the_surest_people_first(tmp_path: Path) -> None:
    people = [{"pose": [value] * 36, "score": [score] * 18} for value, score in ((0.1, 0.2), (0.2, 0.9), (0.3, 0.5))]
    (tmp_path / "kinetics_val").mkdir()
    content = {"data": [{"frame_index": 2, "skeleton": people}], "label": "a b", "label_index": 3}
    (tmp_path / "kinetics_val" / "x.json").write_text(json.dumps(content))
    (clip,) = read_kinetics(tmp_path)
    assert clip.split == "test" and clip.label == "a b" and clip.coords.shape == (2, 2, 18, 2)
    assert np.isnan(clip.coords[:, 0]).all()
    np.testing.assert_allclose(clip.coords[:, 1, 0, 1], [0.2, 0.3])


def test_pyskl_goes_by_its_own_split(tmp_path: Path) -> None:
    SAMPLES["pyskl"](tmp_path / "files")
    clips = list(read_pyskl(tmp_path / "files"))
    assert [clip.split for clip in clips] == ["train", "train", "test", "test"]
    assert [clip.subject for clip in clips] == ["001", "001", "002", "002"]
    assert clips[0].layout.name == "coco17" and clips[0].units == "image01" and np.nanmax(clips[0].coords) < 640 / 480
    with pytest.raises(UsageError, match="no such split"):
        list(read_pyskl(tmp_path / "files", split_type="xview"))


def test_several_splits_must_be_chosen_from(tmp_path: Path) -> None:
    content = {"split": {"xsub_train": ["a"], "xview_train": ["a"]}, "annotations": []}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(UsageError, match="several splits") as caught:
        list(read_pyskl(tmp_path))
    assert caught.value.hint == "--split-type NAME"


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("touch /tmp/last_edge_was_here",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plain arrays") as caught:
        plain_pickle(pickle.dumps({"annotations": [Evil()]}), "x.pkl")
    assert "system" in str(caught.value.got) and not Path("/tmp/last_edge_was_here").exists()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(plain_pickle(pickle.dumps([array, np.float64(2)]), "x")[0], array)


def test_ctrgcn_leaves_the_zeros_behind_a_clip_out(tmp_path: Path) -> None:
    SAMPLES["ctrgcn"](tmp_path / "files")
    clips = list(read_ctrgcn(tmp_path / "files"))
    assert [clip.split for clip in clips] == ["train"] * 3 + ["test"] * 3 and clips[2].label == "3"
    assert clips[0].coords.shape == (2, 7, 25, 3) and np.isnan(clips[0].coords[1]).all()


def test_stgcn_arrays_bring_names_and_labels(tmp_path: Path) -> None:
    points = np.zeros((2, 3, 9, 25, 2), np.float32)
    points[:, :, :5, :, 0] = moving(5, 2, 3, 25).transpose(1, 2, 0, 3)
    np.save(tmp_path / "val_data_joint.npy", points)
    names = ["S001C001P003R001A005.skeleton", "S001C001P004R001A006.skeleton"]
    (tmp_path / "val_label_joint.pkl").write_bytes(pickle.dumps((names, [4, 5])))
    one, other = read_ctrgcn(tmp_path)
    assert (one.label, one.subject, one.split) == ("4", "003", "test") and other.subject == "004"
    np.testing.assert_allclose(one.coords[0, :, 7], points[0, :, :5, 7, 0].T)


def test_the_page_of_formats_names_commands_that_exist() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    named = re.findall(r"`last-edge data prepare ([a-z]\w+) SOURCE --out STORE([^`]*)`", page)
    assert set(SAMPLES) <= {name for name, _ in named}
    for name, options in named:
        flags = {flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", options)}
        own = [field.name for field in fields(VideoOptions)] if name == VIDEOS else READERS[name].options
        assert flags <= {*own, "leave_out"}, name


def test_a_frame_that_is_absent_is_not_seen_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "hello" / "0"
    place.mkdir(parents=True)
    for number in (3, 4, 7):
        np.save(place / f"{number}.npy", moving(1, 63)[0])
    (clip,) = read_mediapipe_npy(tmp_path)
    assert clip.coords.shape[1] == 5 and np.isnan(clip.coords[0, 2:4]).all() and not np.isnan(clip.coords[0, 4]).any()
    assert "2 frames are absent" in caplog.text


def test_points_of_a_hand_come_as_they_are(tmp_path: Path) -> None:
    points = moving(6, 21, 3)
    np.save(tmp_path / "clip.npy", points)
    (clip,) = read_mediapipe_npy(tmp_path, image_size="100x100")
    np.testing.assert_allclose(clip.coords[0], points, rtol=1e-5)


BAD_ROWS = [
    "fist,0.5,oops",
    "fist," + ",".join(["nan"] * 42),
    "fist," + ",".join(["0.5"] * 41),
    "9," + ",".join(["0.5"] * 43),
]


@pytest.mark.parametrize("headed", [False, True])
def test_one_bad_row_does_not_refuse_its_file(headed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [f"{label}," + ",".join(["0.25", "0.5"] * 21) for label in ("fist", "palm", "fist")]
    heading = ["label," + ",".join(f"{axis}{joint}" for joint in range(21) for axis in "xy")] if headed else []
    folder, out = tmp_path / "files", tmp_path / "store"
    folder.mkdir()
    (folder / "a.csv").write_text("\n".join([*heading, good[0], *BAD_ROWS, *good[1:]]) + "\n")
    command = ["data", "prepare", "landmark_csv", str(folder), "--out", str(out), "--json"]
    assert main(command) == 0
    prepared = json.loads(capsys.readouterr().out)
    first = len(heading) + 2
    assert prepared["clips"] == 3 and len(prepared["damaged"]) == len(BAD_ROWS)
    assert all(f"a.csv:{first + place}" in prepared["damaged"][place] for place in range(len(BAD_ROWS)))
    assert main([*command, "--force", "--strict"]) == 3
    assert len(ClipStore.open(out)) == 3


def test_a_table_of_bad_rows_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(BAD_ROWS) + "\n")
    assert main(["data", "prepare", "landmark_csv", str(tmp_path), "--out", str(tmp_path / "store"), "--quiet"]) == 3
    assert not (tmp_path / "store").exists()


def test_a_row_with_a_zero_byte_is_refused_by_its_line() -> None:
    with pytest.raises(InputError, match="zero byte") as error:
        list(table_rows(b"file,label\na,b\nc\0,d\n", "x.csv", needed=("file", "label")))
    assert "x.csv:3" in error.value.render()


def test_a_table_may_be_parted_by_semicolons(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(";".join(["ok", *["0.5"] * 42]) + "\n")
    (clip,) = read_landmark_csv(tmp_path)
    assert clip.label == "ok"
