"""Bundles from elsewhere: a folder, a zoo's wheel, any address, a Hugging Face repository. Nothing is got unasked.

A bundle proves itself: its manifest names the sha256 of every file and is sealed. What is fetched lies in memory until
all of it fits, and is then written in one step.
"""

import hashlib
import io
import re
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from last_edge.bundle.bundle import LARGEST_TOTAL, faults, members_of, read_archive_bytes, safe_name, write_archive
from last_edge.bundle.manifest import LARGEST_MANIFEST, MANIFEST, SUFFIX, Manifest, from_bytes
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.files import DAMAGED_ARCHIVE, check_free, writing_folder

WHEEL = ".whl"
HUB = "hf:"
HUB_URL = "https://huggingface.co/{repository}/resolve/{revision}"
REPOSITORY = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
TIMEOUT_S = 30.0
PIECE = 2**20
Read = Callable[[str, int], bytes]
"""A file of a bundle, by name, of no more than so many bytes."""


def get_bundle(name: str, source: str, out: Path, *, sha256: str = "", force: bool = False) -> Manifest:
    """Write bundle `name` of a source to `out`, an archive where that ends in `.last`, else a folder; its manifest.

    source: a folder that holds the bundle or is it; a `.last` archive or a zoo's wheel, here or at an address; an
    address below which `NAME/manifest.json` lies; `hf:OWNER/REPOSITORY` or `hf:OWNER/REPOSITORY@REVISION`. sha256: that
    an archive or wheel must have. Raises `InputError` where a byte is not what the manifest says, a name leads out of
    the bundle or a size is absurd, `MissingError` where nothing answers, `UsageError` where something stands at `out`.
    """
    if safe_name(name) is not None or "/" in name:
        raise UsageError("not a bundle's name", got=name, hint="last-edge zoo ls")
    archive = out.suffix == SUFFIX
    check_free(out, force=force, marker="" if archive else MANIFEST)
    contents = _contents(name, source, sha256.lower())
    if MANIFEST not in contents:
        raise InputError("no bundle of this name there", where=source, expected=f"{name}/{MANIFEST}")
    manifest = from_bytes(contents[MANIFEST], where=f"{source} › {MANIFEST}")
    for file, fault in faults(manifest, contents):
        raise InputError(f"bundle: {fault}", where=f"{source} › {file}", expected=manifest.files.get(file))
    if archive:
        write_archive(out, contents)
        return manifest
    with writing_folder(out, marker=MANIFEST, force=force) as folder:
        for file, content in contents.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
    return manifest


def _contents(name: str, source: str, sha256: str) -> dict[str, bytes]:
    """Every file of the bundle, by name."""
    place = urlsplit(source).path if _is_address(source) else source
    if place.endswith((SUFFIX, WHEEL)):
        whole = _fetch(source, LARGEST_TOTAL) if _is_address(source) else _file(Path(source), LARGEST_TOTAL)
        got = hashlib.sha256(whole).hexdigest()
        if sha256 and got != sha256:
            raise InputError("other bytes than were asked for", where=source, expected=sha256, got=got)
        return read_archive_bytes(whole, where=source) if place.endswith(SUFFIX) else _of_wheel(whole, name, source)
    if sha256:
        hint = "without --sha256: the manifest's own hashes are held"
        raise UsageError("--sha256 is of one file, an archive or a wheel", where=source, hint=hint)
    read = _reader(name, source)
    manifest = read(MANIFEST, LARGEST_MANIFEST)
    listed = from_bytes(manifest, where=f"{source} › {MANIFEST}").files
    contents, left = {MANIFEST: manifest}, LARGEST_TOTAL
    for file in sorted(listed):
        if fault := safe_name(file):
            raise InputError(f"bundle: file name refused: {fault}", where=f"{source} › {file}")
        contents[file] = read(file, left)
        left -= len(contents[file])
    return contents


def _reader(name: str, source: str) -> Read:
    """What reads one file of the bundle `name` below a folder or an address."""
    if source.startswith(HUB):
        found = REPOSITORY.fullmatch(source)
        if found is None:
            raise UsageError("not a Hugging Face repository", got=source, expected="hf:OWNER/REPOSITORY[@REVISION]")
        source = HUB_URL.format(repository=found["repository"], revision=found["revision"] or "main")
    if _is_address(source):
        base = f"{source.rstrip('/')}/{urllib.parse.quote(name)}"
        return lambda file, most: _fetch(f"{base}/{urllib.parse.quote(file)}", most)
    folder = Path(source)
    if (folder / name / MANIFEST).is_file():
        folder = folder / name
    if not (folder / MANIFEST).is_file():
        raise InputError("no bundle of this name there", where=source, expected=f"{name}/{MANIFEST}")
    return lambda file, most: _inside(folder, file, most)


def _is_address(source: str) -> bool:
    scheme = urlsplit(source).scheme
    if "://" in source and scheme not in ("http", "https"):
        raise UsageError(
            "no such kind of address", got=source, expected="http://, https://, hf:OWNER/REPOSITORY or a path"
        )
    return "://" in source


def _fetch(address: str, most: int) -> bytes:
    """The bytes at an address, no more than `most`."""
    parts = []
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            if urlsplit(answer.url).scheme not in ("http", "https"):
                raise InputError("the address leads elsewhere", where=address, got=answer.url)
            while piece := answer.read(PIECE):
                parts.append(piece)
                if (most := most - len(piece)) < 0:
                    raise InputError("larger than a bundle may be", where=address)
    except urllib.error.HTTPError as error:
        raise InputError("nothing there", where=address, got=f"{error.code} {error.reason}") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise MissingError("no answer from the address", where=address, got=getattr(error, "reason", error)) from error
    return b"".join(parts)


def _file(path: Path, most: int) -> bytes:
    if not path.is_file():
        raise InputError("no such file", where=path)
    if path.stat().st_size > most:
        raise InputError("larger than a bundle may be", where=path, got=path.stat().st_size)
    return path.read_bytes()


def _inside(folder: Path, file: str, most: int) -> bytes:
    if not (folder / file).resolve().is_relative_to(folder.resolve()):
        raise InputError("bundle: a link leads out of the bundle", where=folder / file)
    return _file(folder / file, most)


def _of_wheel(content: bytes, name: str, source: str) -> dict[str, bytes]:
    """The files of one bundle in a wheel `last_edge_zoo`."""
    from last_edge.bundle.zoo import PACKAGE

    start = f"{PACKAGE}/{name}/"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = members_of(archive, where=source, within=start)
            return {member.removeprefix(start): found for member, found in members.items()}
    except DAMAGED_ARCHIVE as error:
        raise InputError("not a wheel", where=source, got=error) from error
