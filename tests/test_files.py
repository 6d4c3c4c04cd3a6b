"""Writing: all or nothing, never over somebody's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from last_edge.errors import UsageError
from last_edge.files import check_free, writing, writing_folder


class Crash(Exception):
    pass


def crash_while_writing(path: Path) -> None:
    with writing(path) as stream:
        stream.write(b"half")
        raise Crash


def crash_while_filling(path: Path) -> None:
    with writing_folder(path, marker="old", force=True) as partial:
        (partial / "half").write_text("half")
        raise Crash


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(Crash):
        crash_while_writing(path)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with writing_folder(path, marker="old") as partial:
        (partial / "old").write_text("old")
    with pytest.raises(Crash):
        crash_while_filling(path)
    assert [item.name for item in path.iterdir()] == ["old"]
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="will not overwrite"), writing_folder(tmp_path / "folder", marker="ours"):
        pass
    assert (tmp_path / "folder" / "mine").exists()


def test_force_replaces_only_its_own_kind(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("mine")
    with (
        pytest.raises(UsageError, match="another kind"),
        writing_folder(tmp_path / "thesis", marker="ours", force=True),
    ):
        pass
    with pytest.raises(UsageError, match="folder is in the way"):
        check_free(tmp_path / "thesis", force=True)
    with pytest.raises(UsageError, match="file is in the way"):
        check_free(tmp_path / "thesis" / "text.tex", force=True, marker="ours")
    assert (tmp_path / "thesis" / "text.tex").read_text() == "mine"


def test_neighbours_with_telling_names_are_left_alone(tmp_path: Path) -> None:
    for name in ("out.old", "out.partial"):
        (tmp_path / name).mkdir()
    for _ in range(2):
        with writing_folder(tmp_path / "out", marker="ours", force=True) as partial:
            (partial / "ours").write_text("")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "out.old", "out.partial"]


def test_a_folder_set_aside_by_a_killed_replacement_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "ours").write_text("whole")
    with pytest.raises(UsageError, match="will not overwrite"), writing_folder(tmp_path / "out", marker="ours"):
        pass
    assert (tmp_path / "out" / "ours").read_text() == "whole"
