"""Bundles from a folder, an archive, a wheel and an address: whole, or not at all."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import write_archive
from last_edge.bundle.fetch import REPOSITORY, get_bundle
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.tools.cli import main
from last_edge.tools.zoo_wheel import build

MakeBundle = Callable[..., Path]


@pytest.fixture
def zoo(make_bundle: MakeBundle, tmp_path: Path) -> Path:
    """A folder with one bundle, `tiny`."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    make_bundle().rename(folder / "tiny")
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def served(zoo: Path) -> Iterator[str]:
    """The address of the folder's parent on this machine."""
    handler = functools.partial(Quiet, directory=str(zoo.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def same(one: Path, other: Path) -> bool:
    return Bundle.open(one).contents == Bundle.open(other).contents


def test_of_a_folder_that_holds_it_or_is_it(zoo: Path, tmp_path: Path) -> None:
    get_bundle("tiny", str(zoo), tmp_path / "a")
    get_bundle("tiny", str(zoo / "tiny"), tmp_path / "b.last")
    assert same(tmp_path / "a", zoo / "tiny") and same(tmp_path / "b.last", zoo / "tiny")
    with pytest.raises(UsageError, match="will not overwrite"):
        get_bundle("tiny", str(zoo), tmp_path / "a")
    get_bundle("tiny", str(tmp_path / "b.last"), tmp_path / "a", force=True)


def test_of_an_address(zoo: Path, served: str, tmp_path: Path) -> None:
    get_bundle("tiny", f"{served}/zoo/", tmp_path / "a")
    assert same(tmp_path / "a", zoo / "tiny")
    with pytest.raises(InputError, match="nothing there"):
        get_bundle("huge", f"{served}/zoo", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_of_a_wheel_here_and_at_an_address_held_to_a_hash(zoo: Path, served: str, tmp_path: Path) -> None:
    wheel = build(zoo, tmp_path / "dist")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    get_bundle("tiny", str(wheel), tmp_path / "a")
    get_bundle("tiny", f"{served}/dist/{wheel.name}", tmp_path / "b", sha256=right.upper())
    assert same(tmp_path / "a", zoo / "tiny") and same(tmp_path / "b", zoo / "tiny")
    with pytest.raises(InputError, match="other bytes") as caught:
        get_bundle("tiny", str(wheel), tmp_path / "c", sha256="0" * 64)
    assert right in str(caught.value.got) and not (tmp_path / "c").exists()
    with pytest.raises(InputError, match="no bundle of this name"):
        get_bundle("huge", str(wheel), tmp_path / "c")


@pytest.mark.parametrize("file", ["model.fp32.onnx", "card.md", "manifest.json"])
def test_a_changed_byte_leaves_nothing_behind(zoo: Path, served: str, tmp_path: Path, file: str) -> None:
    path = zoo / "tiny" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    for source in (str(zoo), f"{served}/zoo"):
        with pytest.raises(InputError):
            get_bundle("tiny", source, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("member", ["../evil", "/evil", "a\\..\\evil"])
def test_names_that_lead_out_are_refused(zoo: Path, served: str, tmp_path: Path, member: str) -> None:
    write_archive(tmp_path / "bad.last", {**Bundle.open(zoo / "tiny").contents, member: b"evil"})
    with zipfile.ZipFile(tmp_path / "bad.whl", "w") as wheel:
        for name, content in {**Bundle.open(zoo / "tiny").contents, member: b"evil"}.items():
            wheel.writestr(f"last_edge_zoo/tiny/{name}", content)
    for source in (tmp_path / "bad.last", tmp_path / "bad.whl", f"{served}/bad.whl"):
        with pytest.raises(InputError, match="refused|not in the manifest"):
            get_bundle("tiny", str(source), tmp_path / "inside" / "out")
    assert not list(tmp_path.rglob("evil*"))


def test_a_listed_name_that_leads_out_is_never_asked_for(zoo: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(zoo / "tiny")
    from last_edge.bundle.manifest import to_bytes

    (tmp_path / "secret").write_text("secret")
    files = {**bundle.manifest.files, "../../secret": hashlib.sha256(b"secret").hexdigest()}
    import dataclasses

    (zoo / "tiny" / "manifest.json").write_bytes(to_bytes(dataclasses.replace(bundle.manifest, files=files)))
    with pytest.raises(InputError, match="leaves the archive"):
        get_bundle("tiny", str(zoo), tmp_path / "out")


def test_what_is_no_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no answer"):
        get_bundle("tiny", "http://127.0.0.1:9", tmp_path / "out")
    with pytest.raises(UsageError, match="no such kind of address"):
        get_bundle("tiny", "ftp://127.0.0.1/zoo", tmp_path / "out")
    with pytest.raises(UsageError, match="Hugging Face"):
        get_bundle("tiny", "hf:nobody", tmp_path / "out")
    with pytest.raises(UsageError, match="not a bundle's name"):
        get_bundle("../tiny", str(tmp_path), tmp_path / "out")
    found = REPOSITORY.fullmatch("hf:owner/zoo@v1")
    assert found is not None and (found["repository"], found["revision"]) == ("owner/zoo", "v1")


def test_the_command_gets_it(zoo: Path, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine"
    assert main(["zoo", "get", "tiny", "--from", f"{served}/zoo", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bundle"] == str(out)
    assert same(out, zoo / "tiny")


def test_equal_bundles_give_equal_wheels(zoo: Path, tmp_path: Path) -> None:
    one, other = build(zoo, tmp_path / "one"), build(zoo, tmp_path / "other")
    assert one.read_bytes() == other.read_bytes()
    with pytest.raises(InputError, match="no bundle here"):
        build(tmp_path / "one", tmp_path / "none")
