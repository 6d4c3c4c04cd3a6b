"""Opening a bundle, strictly, and writing one: a folder, or a `.last` archive, which is a plain zip."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import shutil
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from last_edge.arrays import EPOCH, npz_bytes, read_npz
from last_edge.bundle.manifest import (
    CARD,
    GOLDEN,
    MANIFEST,
    SUFFIX,
    Manifest,
    from_bytes,
    model_file,
    to_bytes,
    translates,
)
from last_edge.bundle.zoo import near_names
from last_edge.errors import InputError, UsageError
from last_edge.files import DAMAGED_ARCHIVE, check_free, locked, recover, writing, writing_folder
from last_edge.inputs.features import LANDMARKS, FeatureInput, Inputs
from last_edge.names import did_you_mean

POINTS = "points"
INPUT = "input."
STATE = "state."
MOST_MEMBERS = 64
LARGEST_TOTAL = 512 * 2**20
MAKE_ONE = "last-edge export RUN --out BUNDLE"


@dataclass(frozen=True)
class Golden:
    """inputs: float32, `landmarks` (n, T, V, C) or (n, M, T, V, C), NaN where missing, and what else the model reads.

    logits: float32 (n, K) by precision. In the file landmarks are called `points`, other inputs `input.NAME`.
    states: of a model that answers at every frame, the tensors (n, ...) that follow each clip's last frame; its logits
    are (n * T, K), frame by frame of one clip after the other. In the file `state.NAME`.
    """

    inputs: Inputs
    logits: dict[str, NDArray[np.float32]]
    states: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def points(self) -> NDArray[np.float32]:
        """The landmarks."""
        return self.inputs[LANDMARKS]

    def to_bytes(self) -> bytes:
        """An uncompressed `.npz`; equal tensors give equal bytes."""
        others = {f"{INPUT}{name}": array for name, array in self.inputs.items() if name != LANDMARKS}
        states = {f"{STATE}{name}": array for name, array in self.states.items()}
        logits = {name: self.logits[name] for name in sorted(self.logits)}
        arrays = {POINTS: self.points, **others, **states, **logits}
        return npz_bytes({name: np.asarray(array, np.float32) for name, array in arrays.items()})

    @classmethod
    def from_bytes(cls, content: bytes, *, where: object) -> Golden:
        """Read without pickle; `InputError` when it is not plain float32 tensors that fit each other."""
        arrays = read_npz(content, where=where, what="golden tensors cannot be read")
        points = arrays.pop(POINTS, None)
        if points is None or points.ndim not in (4, 5):
            raise InputError("golden tensors need `points` (n, T, V, C)", where=where, got=sorted(arrays))
        named = {name: arrays.pop(name) for name in list(arrays) if name.startswith(STATE)}
        answers = len(points) * (points.shape[1] if named else 1)
        for name, array in {POINTS: points, **named, **arrays}.items():
            is_logits = name in arrays and not name.startswith(INPUT)
            fits = len(array) == (answers if is_logits else len(points)) and (array.ndim == 2 or not is_logits)
            if array.dtype != np.float32 or not fits:
                raise InputError(
                    f"golden tensor {name!r} does not fit", where=where, got=f"{array.dtype} {array.shape}"
                )
        others = [name for name in arrays if name.startswith(INPUT)]
        if len(others) > 1 or any(arrays[name].ndim != 3 for name in others):
            raise InputError("golden tensors of no second input", where=where, got=others)
        read = [FeatureInput(name.removeprefix(INPUT), *arrays[name].shape[1:]).name for name in others]
        features = dict(zip(read, map(arrays.pop, others), strict=True))
        states = {name.removeprefix(STATE): array for name, array in named.items()}
        return cls({LANDMARKS: points, **features}, arrays, states)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. `Bundle.open(path)` makes it; the bytes held are the ones that were hashed."""

    path: Path
    manifest: Manifest
    contents: dict[str, bytes]

    @classmethod
    def open(cls, path: Path, *, verify_hashes: bool = True) -> Bundle:
        """Open a folder or `.last` archive.

        `InputError` names the file that is absent, changed by a byte or refused. `verify_hashes=False` skips the
        hashes and the golden tensors, for tools that report every fault instead of the first.
        """
        path = Path(path)
        recover(path)
        if not path.exists():
            raise InputError("no bundle here", where=path, expected=near_names(path), hint=MAKE_ONE)
        contents = _read_folder(path) if path.is_dir() else read_archive(path)
        if MANIFEST not in contents:
            raise InputError("bundle: manifest is missing", where=path / MANIFEST, hint=MAKE_ONE)
        manifest = from_bytes(contents[MANIFEST], where=path / MANIFEST, verify=verify_hashes)
        for name, fault in faults(manifest, contents, hashes=verify_hashes):
            raise InputError(f"bundle: {fault}", where=path / name, expected=manifest.files.get(name))
        bundle = cls(path, manifest, contents)
        golden = bundle.golden.logits if verify_hashes and GOLDEN in contents else {}
        for precision, logits in golden.items():
            if logits.shape[1] != (classes := len(manifest.labels)):
                raise InputError(f"golden {precision} logits do not fit the labels", where=path / GOLDEN,
                                 expected=f"{classes} columns", got=logits.shape[1])  # fmt: skip
        return bundle

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions with a graph file, `fp32` first."""
        return self.manifest.precisions

    def recogniser(self) -> Bundle:
        """This bundle, when it gives classes; `InputError` for a translator's, with the commands that take one."""
        if translates(self.manifest):
            hint = "last-edge translate BUNDLE --source store:FOLDER; eval, verify, quantize and bench take it as well"
            raise InputError("this bundle gives sentences, not classes", where=self.path, hint=hint)
        return self

    def of_landmarks(self, refused: str) -> Bundle:
        """This bundle, when its model reads landmarks alone; else `InputError`: what is refused, which input."""
        if (features := self.manifest.features) is not None:
            expected = f"a model of landmarks alone, not {self.manifest.model.name}"
            hint = "last-edge eval BUNDLE --store STORE, with features beside the store"
            raise InputError(refused, where=self.path, expected=expected,
                             got=f"one that reads {features.name!r} features as well", hint=hint)  # fmt: skip
        return self

    @cached_property
    def golden(self) -> Golden:
        """The golden tensors."""
        return Golden.from_bytes(self.read(GOLDEN), where=self.path / GOLDEN)

    def read(self, name: str) -> bytes:
        """A file's bytes; `InputError` when the bundle has no such file."""
        if name not in self.contents:
            raise InputError(
                f"bundle has no file {name!r}", where=self.path, expected=did_you_mean(name, self.contents)
            )
        return self.contents[name]

    def graph(self, precision: str) -> bytes:
        """The ONNX graph of a precision; `InputError` naming those there are, and for a translator's bundle."""
        self.recogniser()
        if precision not in self.precisions:
            hint = "last-edge quantize BUNDLE --store STORE" if precision == "int8" else None
            have = ", ".join(self.precisions)
            raise InputError(f"bundle has no {precision} graph", where=self.path, expected=have, hint=hint)
        return self.read(model_file(precision))


def faults(manifest: Manifest, contents: dict[str, bytes], *, hashes: bool = True) -> list[tuple[str, str]]:
    """(file, what is wrong) for every listed file that is absent, unsafe or changed, and every unlisted one."""
    found = []
    for name, expected in sorted(manifest.files.items()):
        if safe_name(name) is not None:
            found.append((name, f"file name refused: {safe_name(name)}"))
        elif name not in contents:
            found.append((name, "file is missing"))
        elif hashes and hashlib.sha256(contents[name]).hexdigest() != expected:
            found.append((name, "bytes have changed"))
    found += [(name, "file is not in the manifest") for name in sorted(set(contents) - {*manifest.files, MANIFEST})]
    return found


def _read_folder(path: Path) -> dict[str, bytes]:
    """The manifest and the files it lists; whatever else lies in the folder is not read."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise InputError("bundle: manifest is missing", where=manifest, hint=MAKE_ONE)
    content = manifest.read_bytes()
    listed = from_bytes(content, where=manifest, verify=False).files
    contents = {MANIFEST: content}
    for name in listed:
        file = path / name
        if safe_name(name) is None and file.is_file():
            if not file.resolve().is_relative_to(path.resolve()):
                raise InputError("bundle: a link leads out of the bundle", where=file)
            contents[name] = file.read_bytes()
    return contents


def safe_name(name: str) -> str | None:
    """Why a member name must not be used, or None when it is a plain relative path."""
    path = PurePosixPath(name)
    if not name or "\\" in name or "\0" in name or ":" in name:
        return "not a plain name"
    if path.is_absolute():
        return "an absolute path"
    if ".." in name.split("/"):
        return "a path that leaves the archive"
    return None if str(path) == name else "not a plain name"


def read_archive(path: Path) -> dict[str, bytes]:
    """All members by name; `InputError` for names that leave the archive, links, duplicates or absurd sizes."""
    try:
        return read_archive_bytes(path.read_bytes(), where=path)
    except OSError as error:
        raise InputError("not a bundle archive", where=path, expected="a zip written by export", got=error) from error


def read_archive_bytes(content: bytes, *, where: object) -> dict[str, bytes]:
    """As `read_archive`, of an archive's bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return members_of(archive, where=where)
    except DAMAGED_ARCHIVE as error:
        raise InputError("not a bundle archive", where=where, expected="a zip written by export", got=error) from error


def members_of(archive: zipfile.ZipFile, *, where: object, within: str = "") -> dict[str, bytes]:
    """The members of an archive whose names begin with `within`, by name; raises as `read_archive`."""
    contents = {}
    infos = [member for member in archive.infolist() if member.filename.startswith(within)]
    for member in _checked(infos, where):
        with archive.open(member) as stream:
            content = stream.read(member.file_size + 1)  # never more than it declares
        if len(content) != member.file_size:
            raise InputError("archive member has another size than declared", where=f"{where} › {member.filename}")
        contents[member.filename] = content
    return contents


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write members uncompressed, sorted and with a fixed date, through a partial file."""
    with writing(path) as stream:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(files):
                archive.writestr(zipfile.ZipInfo(name, EPOCH), files[name])
        stream.write(buffer.getvalue())


def _checked(members: list[zipfile.ZipInfo], path: object) -> list[zipfile.ZipInfo]:
    if len(members) > MOST_MEMBERS:
        raise InputError("archive has too many members", where=path, expected=f"<= {MOST_MEMBERS}", got=len(members))
    total = sum(member.file_size for member in members)
    if total > LARGEST_TOTAL:
        raise InputError("archive is too large", where=path, expected=f"<= {LARGEST_TOTAL} bytes", got=total)
    seen: set[str] = set()
    for member in members:
        fault = safe_name(member.orig_filename) or safe_name(member.filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            fault = "a link" if kind == stat.S_IFLNK else "not a plain file"
        if member.flag_bits & 0x1:
            fault = "encrypted"
        if fault is None and member.filename in seen:
            fault = "the same name twice"
        if fault is not None:
            raise InputError(f"archive member refused: {fault}", where=f"{path} › {member.filename}")
        seen.add(member.filename)
    return members


def with_hashes(manifest: Manifest, files: dict[str, bytes]) -> Manifest:
    """The manifest with the sha256 of every file, and sealed."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return dataclasses.replace(manifest, files=hashes).sealed()


def write_bundle(path: Path, manifest: Manifest, *, files: dict[str, bytes], force: bool = False) -> Manifest:
    """Write `files`, their card and their manifest to `path`: an archive when it ends in `.last`, else a folder.

    Nothing stands at `path` until it is whole. `UsageError` when something does already and not `force`. The card is
    made from the manifest unless `files` has one. Returns the manifest as written, with hashes and seal.
    """
    return _write(path, manifest, files, force=force)


def rewrite_bundle(bundle: Bundle, manifest: Manifest, *, files: Mapping[str, bytes] | None = None) -> Manifest:
    """Replace a bundle in one step: the files that `manifest` lists, these new ones and a card that fits them.

    Files in its folder that are not the bundle's own stay. Returns the manifest as written. `UsageError` where the
    bundle was changed since it was opened, as by another process: what was added would be lost.
    """
    path = bundle.path
    with locked(path):
        there = (path / MANIFEST).read_bytes() if path.is_dir() else read_archive(path)[MANIFEST]
        if there != bundle.contents[MANIFEST]:
            raise UsageError("the bundle was changed meanwhile", where=path, hint="the same command again")
        kept = {name: bundle.read(name) for name in manifest.files if name != CARD} | dict(files or {})
        return _write(path, manifest, kept, force=True, keep_others=True)


def _write(
    path: Path, manifest: Manifest, files: dict[str, bytes], *, force: bool, keep_others: bool = False
) -> Manifest:
    from last_edge.bundle.card import render_card

    files = {CARD: render_card(manifest, files).encode(), **files}
    whole = with_hashes(manifest, files)
    contents = {**files, MANIFEST: to_bytes(whole)}
    if path.suffix == SUFFIX:
        with locked(path):
            check_free(path, force=force)
            write_archive(path, contents)
        return whole
    others = [item for item in path.iterdir() if item.name not in contents] if keep_others and path.is_dir() else []
    with writing_folder(path, marker=MANIFEST, force=force) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        for item in others:
            (shutil.copytree if item.is_dir() else shutil.copy2)(item, folder / item.name)
    return whole
