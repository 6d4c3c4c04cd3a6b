"""A folder of `.pose` files as a dataset: label from the folder or an index, one kind of file a store."""

from __future__ import annotations

import shutil

import pytest

from last_edge.data.readers.pose import read_pose_files
from last_edge.errors import InputError


@pytest.fixture
def source(tmp_path, real):
    for label, name in (("hello", "mediapipe.pose"), ("bye", "openpose.pose")):
        (tmp_path / "in" / label).mkdir(parents=True)
        shutil.copy(real("clips") / name, tmp_path / "in" / label / name)
    return tmp_path / "in"


def test_folder_is_the_label(source):
    bye, hello = read_pose_files(source, layout="mediapipe_holistic75", axes=2)
    assert (bye.label, hello.label, hello.source_id) == ("bye", "hello", "hello/mediapipe.pose")
    assert bye.coords.shape[2:] == hello.coords.shape[2:] == (75, 2)


def test_index_says_more(source, tmp_path):
    index = tmp_path / "index.csv"
    index.write_text("file,label,subject,split\nhello/mediapipe.pose,hi,ann,test\nbye/openpose.pose,,bob,train\n")
    bye, hello = read_pose_files(source, layout="mediapipe_holistic75", axes=2, index=index)
    assert (hello.label, hello.subject, hello.split) == ("hi", "ann", "test")
    assert (bye.label, bye.subject, bye.split) == (None, "bob", "train")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,label\n", "wrong columns"),
        ("file,colour\n", "wrong columns"),
        ("", "wrong columns"),
        ("file,label\nhello/mediapipe.pose,hi,there\n", "more or fewer"),
        ("file,label\nhello/mediapipe.pose\n", "more or fewer"),
    ],
)
def test_bad_index_is_named(source, tmp_path, text, reason):
    index = tmp_path / "index.csv"
    index.write_text(text)
    with pytest.raises(InputError, match=reason):
        list(read_pose_files(source, layout="mediapipe_holistic75", axes=2, index=index))


def test_files_of_two_kinds_tell_the_way_out(source):
    with pytest.raises(InputError, match="--layout mediapipe_holistic75 --axes 2"):
        list(read_pose_files(source))


def test_folder_without_pose_files(tmp_path):
    with pytest.raises(InputError, match=r"no \.pose"):
        list(read_pose_files(tmp_path))


@pytest.mark.parametrize("text", ["\ufefffile,label\r\n{},hi\r\n", "file;label\n{};hi\n", '"file"\t"label"\n{}\thi\n'])
def test_tables_come_as_spreadsheets_save_them(source, tmp_path, text, caplog):
    index = tmp_path / "index.csv"
    index.write_text(text.format("hello/mediapipe.pose"), encoding="utf-8", newline="")
    (clip,) = read_pose_files(source, layout="mediapipe_holistic75", axes=2, index=index)
    assert clip.label == "hi"
    assert "1 files without a row in the index, left out: bye/openpose.pose" in caplog.text


def test_rows_without_a_file_are_told(source, tmp_path, caplog):
    index = tmp_path / "index.csv"
    index.write_text("file,label\nhello/mediapipe.pose,hi\nbye/openpose.pose,bye\nbye/gone.pose,bye\n")
    assert len(list(read_pose_files(source, layout="mediapipe_holistic75", axes=2, index=index))) == 2
    assert "1 files in the index but absent: bye/gone.pose" in caplog.text
