"""The two npm packages that run in the page: their versions, their hashes, and their place in the cache.

MediaPipe's is the version of the Python package, so that both give the same landmarks; 1.1.0 holds a client that
reports its use to its maker, so do not move up without solving that. Neither needs Node: a package is an archive.
"""

import base64
import binascii
import hashlib
import hmac
import io
import tarfile
import urllib.request
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from last_edge.bundle.bundle import safe_name
from last_edge.errors import InputError, MissingError
from last_edge.files import DAMAGED_ARCHIVE, cache_folder, sha256_of, writing_folder

REGISTRY = "https://registry.npmjs.org"
LARGEST_ARCHIVE = 128 * 2**20
MARKER = "package.json"
Download = Callable[[str], bytes]
MOST_MEMBERS = 10_000
LARGEST_TOTAL = 512 * 2**20


@dataclass(frozen=True, eq=False)
class NpmPackage:
    """One version of a package.

    integrity: of its archive, as npm's lock files write it. files: path in the package -> sha256, of those that the
    page loads, and of `package.json`. licence: its terms, holder: whose it is.
    """

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]
    licence: str
    holder: str

    @property
    def url(self) -> str:
        """Where the archive comes from."""
        base = self.name.rpartition("/")[2]
        return f"{REGISTRY}/{self.name}/-/{base}-{self.version}.tgz"

    @property
    def folder(self) -> Path:
        """Its place in the cache."""
        return cache_folder() / "npm" / f"{self.name.replace('/', '-').lstrip('@')}-{self.version}"


ONNX_RUNTIME = NpmPackage(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    {
        MARKER: "16f69f755509990539aeb1c8445884960e91adcacab2e8dca8e44ee43601df5c",
        "dist/ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
        "dist/ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
        "dist/ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    },
    licence="MIT",
    holder="Microsoft Corporation",
)
MEDIAPIPE = NpmPackage(
    "@mediapipe/tasks-vision",
    "0.10.33",
    "sha512-Hh41r6ezzz6aeT1e3aJHjLaeVKtz7yhHLjVMQpoxg2fEgA8HRByS2KNMU28ahtDjJRJNCyDHWb2tJWVAyshyMw==",
    {
        MARKER: "55be55f8f03b9a0956bd3d1c87fb3ff4417bc3b8f6770429b2095061f5adf8ba",
        "vision_bundle.mjs": "8752b2d5cae22bb369ecf9f0a1a6737d4c5fddc8d1cf8b4b16178ae698494077",
        "wasm/vision_wasm_module_internal.js": "8773e91413112625b7e3a56a1376081c0f11ff5c1eec3dd1f4b2c5fffae0752e",
        "wasm/vision_wasm_module_internal.wasm": "f6acc5418e93067bd5961e74c7c1b2dc85b678ca2b7ae577ed8b95ccd379d60e",
    },
    licence="Apache-2.0",
    holder="Google LLC",
)
PACKAGES = (ONNX_RUNTIME, MEDIAPIPE)


def download(url: str) -> bytes:
    """The bytes at an address; `MissingError` when it cannot be reached, `InputError` when it gives too many."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = bytes(answer.read(LARGEST_ARCHIVE + 1))
    except OSError as error:
        hint = "again with a network: one time is enough, then the cache has it"
        raise MissingError("cannot download the package", where=url, got=error, hint=hint) from error
    if len(content) > LARGEST_ARCHIVE:
        raise InputError("the package is too large", where=url, expected=f"<= {LARGEST_ARCHIVE} bytes")
    return content


def is_cached(package: NpmPackage) -> bool:
    """Whether every file of a package is in the cache and is the one that was pinned."""
    return not _faults(package)


def fetch(package: NpmPackage, *, get: Download = download) -> None:
    """Put a package's files into the cache, unless they are there and whole.

    Raises `MissingError` without a network, `InputError` when what came is not what was pinned.
    """
    if is_cached(package):
        return
    content = get(package.url)
    check_integrity(content, package.integrity, where=package.url)
    members = read_members(content, {f"package/{name}" for name in package.files}, where=package.url)
    for name, expected in package.files.items():
        got = hashlib.sha256(members[f"package/{name}"]).hexdigest()
        if got != expected:
            raise InputError("the package holds another file than it should", where=name, expected=expected, got=got)
    with writing_folder(package.folder, marker=MARKER, force=True) as folder:
        for name in package.files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(members[f"package/{name}"])


def read_package(package: NpmPackage) -> dict[str, bytes]:
    """A cached package's files by path; `MissingError` when one is absent or changed."""
    for name in _faults(package):
        hint = "the same command with a network: it is fetched anew"
        raise MissingError(f"{package.name} is not whole in the cache", where=package.folder / name, hint=hint)
    return {name: (package.folder / name).read_bytes() for name in package.files}


def check_integrity(content: bytes, integrity: str, *, where: object) -> None:
    """`InputError` unless the bytes have the hash that an `integrity` field (Subresource Integrity) states."""
    kind, _, encoded = integrity.partition("-")
    if kind != "sha512":
        raise InputError("integrity must be a sha512", where=where, got=integrity)
    try:
        expected = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise InputError("integrity is not base64", where=where, got=integrity) from error
    got = hashlib.sha512(content).digest()
    if not hmac.compare_digest(got, expected):
        text = f"sha512-{base64.b64encode(got).decode()}"
        raise InputError("the package is not the one that was pinned", where=where, expected=integrity, got=text)


def _faults(package: NpmPackage) -> list[str]:
    """Pinned files that the cache lacks or has with other bytes."""
    paths = {name: package.folder / name for name in package.files}
    return [name for name, path in paths.items() if not path.is_file() or sha256_of(path) != package.files[name]]


def read_members(content: bytes, wanted: AbstractSet[str], *, where: object) -> dict[str, bytes]:
    """The wanted members of a gzipped tar, by name.

    `InputError` when any member has a path that leaves the archive, is a link or a device, or stands there twice, when
    all of them are too large together, or when a wanted one is absent.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            found = {
                member.name: _content(archive, member)
                for member in _checked(archive, where)
                if member.isfile() and member.name in wanted
            }
    except DAMAGED_ARCHIVE as error:
        raise InputError("not a package archive", where=where, expected="a gzipped tar", got=error) from error
    if absent := sorted(wanted - set(found)):
        raise InputError("the package lacks a file", where=where, expected=", ".join(absent))
    return found


def _checked(archive: tarfile.TarFile, where: object) -> list[tarfile.TarInfo]:
    """Every member, read one by one so that a bomb is noticed before it is unpacked."""
    members: list[tarfile.TarInfo] = []
    names: set[str] = set()
    total = 0
    for member in archive:
        fault = _fault(member, names)
        total += member.size
        if fault is None and (len(members) >= MOST_MEMBERS or total > LARGEST_TOTAL):
            fault = "the archive is too large"
        if fault is not None:
            raise InputError(f"archive member refused: {fault}", where=f"{where} › {member.name}")
        names.add(member.name)
        members.append(member)
    return members


def _fault(member: tarfile.TarInfo, names: set[str]) -> str | None:
    if not (member.isfile() or member.isdir()):
        return "a link" if member.issym() or member.islnk() else "not a plain file"
    return safe_name(member.name) or ("the same name twice" if member.name in names else None)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()
