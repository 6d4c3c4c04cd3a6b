"""Archives are read without unpacking, and never a name that would leave them."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from last_edge.data.readers import archive
from last_edge.data.readers.archive import member_names, members
from last_edge.errors import InputError


def make_zip(path, names):
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, name.encode())
    return path


def make_tar(path, names, *, link=None):
    with tarfile.open(path, "w:xz") as packed:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            packed.addfile(info, io.BytesIO(name.encode()))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            packed.addfile(info)
    return path


MAKERS = {"zip": make_zip, "tar.xz": make_tar}


def texts(name):
    return name.endswith(".txt")


@pytest.mark.parametrize("kind", MAKERS)
def test_wanted_members_come_with_their_bytes(tmp_path, kind):
    source = MAKERS[kind](tmp_path / f"x.{kind}", ["a/b.txt", "c.bin", "d.txt"])
    assert dict(members(source, texts)) == {"a/b.txt": b"a/b.txt", "d.txt": b"d.txt"}
    assert member_names(source) == ["a/b.txt", "c.bin", "d.txt"]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_name_that_leaves_the_archive_is_refused(tmp_path, kind, name):
    source = MAKERS[kind](tmp_path / f"x.{kind}", ["ok.txt", name])
    with pytest.raises(InputError, match="leaves its folder") as caught:
        list(members(source, texts))
    assert name in str(caught.value)
    assert str(source) in str(caught.value)


def test_an_unwanted_name_is_checked_too(tmp_path):
    source = make_zip(tmp_path / "x.zip", ["ok.txt", "../evil.bin"])
    with pytest.raises(InputError, match="leaves its folder"):
        list(members(source, texts))


def test_link_is_refused(tmp_path):
    source = make_tar(tmp_path / "x.tar.xz", ["ok.txt"], link="link.txt")
    with pytest.raises(InputError, match="link"):
        list(members(source, texts))


def test_oversized_member_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_MEMBER", 3)
    with pytest.raises(InputError, match="too large"):
        list(members(make_zip(tmp_path / "x.zip", ["four.txt"]), texts))


@pytest.mark.parametrize("kind", MAKERS)
def test_truncated_archive_is_named(tmp_path, kind):
    source = MAKERS[kind](tmp_path / f"x.{kind}", [f"{number}.txt" for number in range(200)])
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(InputError, match="archive") as caught:
        list(members(source, texts))
    assert str(source) in str(caught.value)


def test_folder_file_and_folder_with_one_archive(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_bytes(b"B")
    (tmp_path / "a.txt").write_bytes(b"A")
    assert list(members(tmp_path, texts)) == [("a.txt", b"A"), ("sub/b.txt", b"B")]
    assert list(members(tmp_path / "a.txt", texts)) == [("a.txt", b"A")]
    packed = tmp_path / "packed"
    packed.mkdir()
    make_zip(packed / "x.zip", ["d.txt"])
    assert list(members(packed, texts)) == [("d.txt", b"d.txt")]


def test_absent_source_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        list(members(tmp_path / "nowhere", texts))
