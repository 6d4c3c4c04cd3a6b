"""npm packages: only the pinned bytes come in, nothing leaves its folder, and a damaged cache is seen."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from last_edge.errors import InputError, MissingError
from last_edge.runtime.web import packages
from last_edge.runtime.web.packages import NpmPackage, check_integrity, fetch, is_cached, read_members, read_package

FILES = {"package/package.json": b"{}", "package/dist/run.mjs": b"export {};", "package/dist/other.js": b"1"}


def archive(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return buffer.getvalue()


def integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def package(content: bytes, *, files: dict[str, bytes] | None = None, pinned: str = "") -> NpmPackage:
    kept = files or {"package.json": b"{}", "dist/run.mjs": b"export {};"}
    hashes = {name: hashlib.sha256(part).hexdigest() for name, part in kept.items()}
    return NpmPackage("@maker/tool", "1.2.3", pinned or integrity(content), hashes, "MIT", "Maker")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAST_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_fetched_once_then_read_without_a_network() -> None:
    content, asked = archive(FILES), list[str]()

    def get(url: str) -> bytes:
        asked.append(url)
        return content

    tool = package(content)
    assert not is_cached(tool)
    fetch(tool, get=get)
    fetch(tool, get=get)
    assert asked == ["https://registry.npmjs.org/@maker/tool/-/tool-1.2.3.tgz"]
    assert read_package(tool) == {"package.json": b"{}", "dist/run.mjs": b"export {};"}


def test_other_bytes_than_the_pinned_are_refused(cache: Path) -> None:
    pinned = package(archive(FILES))
    changed = archive({**FILES, "package/dist/run.mjs": b"export { };"})
    with pytest.raises(InputError, match="not the one that was pinned"):
        fetch(pinned, get=lambda url: changed)
    assert not list(cache.rglob("*.mjs"))


def test_a_file_other_than_its_pin_is_refused_though_the_archive_fits(cache: Path) -> None:
    content = archive(FILES)
    with pytest.raises(InputError, match="another file than it should"):
        fetch(package(content, files={"package.json": b"{}", "dist/run.mjs": b"else"}), get=lambda url: content)
    assert not list(cache.rglob("*.mjs"))


def test_a_changed_or_lost_file_of_the_cache_is_seen_and_mended() -> None:
    content = archive(FILES)
    tool = package(content)
    fetch(tool, get=lambda url: content)
    (tool.folder / "dist/run.mjs").write_bytes(b"export {}; // more")
    with pytest.raises(MissingError, match="not whole in the cache"):
        read_package(tool)
    fetch(tool, get=lambda url: content)
    assert read_package(tool)["dist/run.mjs"] == b"export {};"


@pytest.mark.parametrize("text", ["sha1-AAAA", "sha512-?", "sha512-", "sha512-AAAA"])
def test_integrity_that_is_no_sha512_of_the_bytes(text: str) -> None:
    with pytest.raises(InputError):
        check_integrity(b"bytes", text, where="here")


@pytest.mark.parametrize(
    "name", ["../out.js", "/etc/out.js", "package/../../out.js", "package\\..\\out.js", "C:/out.js"]
)
def test_a_member_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="archive member refused"):
        read_members(archive({**FILES, name: b"x"}), {"package/package.json"}, where="a.tgz")


def test_links_and_doubles_are_refused() -> None:
    with pytest.raises(InputError, match="a link"):
        read_members(archive(FILES, links={"package/link": "/etc/passwd"}), {"package/package.json"}, where="a.tgz")
    twice = io.BytesIO()
    with tarfile.open(fileobj=twice, mode="w:gz") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("package/package.json"))
    with pytest.raises(InputError, match="the same name twice"):
        read_members(twice.getvalue(), {"package/package.json"}, where="a.tgz")


def test_too_much_in_an_archive_is_refused_before_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("last_edge.runtime.web.packages.LARGEST_TOTAL", 1000)
    with pytest.raises(InputError, match="too large"):
        read_members(archive({"package/zeros": bytes(2000)}), {"package/zeros"}, where="a.tgz")


@pytest.mark.parametrize("content", [b"", b"no archive", archive(FILES)[:60]])
def test_what_is_no_archive_is_told(content: bytes) -> None:
    with pytest.raises(InputError, match="not a package archive"):
        read_members(content, {"package/package.json"}, where="a.tgz")


def test_an_absent_file_is_named() -> None:
    with pytest.raises(InputError, match="package/absent"):
        read_members(archive(FILES), {"package/absent"}, where="a.tgz")


def test_no_network_is_exit_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match="cannot download the package"):
        fetch(package(archive(FILES)))


def test_the_landmarker_is_the_version_that_python_uses() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert f'"mediapipe=={packages.MEDIAPIPE.version}' in project.read_text()
