"""Writing: all or nothing, never over somebody's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from last_edge.errors import UsageError
from last_edge.files import writing, writing_folder


class Crash(Exception):
    pass


def crash_while_writing(path: Path) -> None:
    with writing(path) as stream:
        stream.write(b"half")
        raise Crash


def crash_while_filling(path: Path) -> None:
    with writing_folder(path, force=True) as partial:
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
    with writing_folder(path) as partial:
        (partial / "old").write_text("old")
    with pytest.raises(Crash):
        crash_while_filling(path)
    assert [item.name for item in path.iterdir()] == ["old"]
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="will not overwrite"), writing_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "folder" / "mine").exists()
