"""Writing: all or nothing, never over somebody's work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from last_edge.errors import UsageError
from last_edge.files import YOUNG_S, check_free, locked, partials_of, write_text, writing, writing_folder

HOLD = """
import sys
from pathlib import Path
from last_edge.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


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


def test_a_partial_file_of_the_future_is_removed_like_an_old_one(tmp_path: Path) -> None:
    """The clock was set back since its writer died."""
    left = tmp_path / "out.json.1-abc.partial"
    left.touch()
    os.utime(left, (time.time() + 86400,) * 2)
    write_text(tmp_path / "out.json", "{}")
    assert [item.name for item in tmp_path.iterdir()] == ["out.json"]


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


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock of `path` until it is told to end, or killed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield process


def test_one_process_writes_a_folder_and_the_others_are_told_who(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing_folder(out, marker="ours") as partial:
        (partial / "ours").write_text("older")
    with another_process(out) as holder:
        with (
            pytest.raises(UsageError, match="another process writes here") as error,
            writing_folder(out, marker="ours", force=True),
        ):
            pass
        assert f"process {holder.pid}: " in error.value.render()
        assert (out / "ours").read_text() == "older"
        holder.communicate(b"")
    with writing_folder(out, marker="ours", force=True) as partial:
        (partial / "ours").write_text("newer")
    assert (out / "ours").read_text() == "newer" and [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_dead_owner_holds_nothing(tmp_path: Path) -> None:
    with another_process(tmp_path / "out") as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / ".out.lock").exists()
    with locked(tmp_path / "out"), locked(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_several_writers_of_a_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with writing(path) as one:
        one.write(b"one")
        with writing(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one" and [item.name for item in tmp_path.iterdir()] == ["file"]


def test_partial_files_of_the_dead_are_removed(tmp_path: Path) -> None:
    path, left = tmp_path / "file", tmp_path / "file.1-0a1b2c3d.partial"
    left.write_bytes(b"half")
    with writing(path) as stream:
        stream.write(b"whole")
    assert partials_of(path) == [left]  # perhaps somebody is just beginning
    os.utime(left, (time.time() - 2 * YOUNG_S,) * 2)
    with writing(path) as stream:
        stream.write(b"whole")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
