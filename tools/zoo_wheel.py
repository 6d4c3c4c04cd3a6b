"""The zoo as a wheel of its own: `python -m last_edge.tools.zoo_wheel --out dist`, or `make zoo-wheel`.

A wheel is a zip with a table of hashes. This one holds bundles and one line of code, so no build tool is needed: equal
bundles give equal bytes.
"""

import argparse
import base64
import hashlib
import sys
import zipfile
from pathlib import Path

from last_edge import __version__
from last_edge.arrays import EPOCH
from last_edge.bundle import Bundle
from last_edge.bundle.zoo import FOLDER, PACKAGE, is_bundle
from last_edge.errors import InputError
from last_edge.files import writing

METADATA = """Metadata-Version: 2.4
Name: last-edge-zoo
Version: {version}
Summary: Trained bundles of LAST-Edge: gestures and actions from skeletons, in ONNX, with their weights.
Requires-Python: >=3.11
Requires-Dist: last-edge>={version}
Description-Content-Type: text/markdown

{description}
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: last-edge\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
CODE = '"""The zoo of LAST-Edge: every folder beside this file is a bundle, see its card.md."""\n'


def build(zoo: Path, out: Path) -> Path:
    """Write `last_edge_zoo-VERSION-py3-none-any.whl` of every bundle of a folder into `out`; its path.

    Every bundle is opened first, so a changed byte stops it. Raises `InputError` where there is none.
    """
    bundles = sorted(path for path in zoo.iterdir() if is_bundle(path)) if zoo.is_dir() else []
    if not bundles:
        raise InputError("no bundle here", where=zoo)
    opened = [Bundle.open(path) for path in bundles]
    files = {f"{PACKAGE}/__init__.py": CODE.encode()}
    for path, bundle in zip(bundles, opened, strict=True):
        files |= {f"{PACKAGE}/{path.name}/{name}": content for name, content in sorted(bundle.contents.items())}
    lines = [
        f"- `{bundle.manifest.name}`: {len(bundle.manifest.labels)} classes of `{bundle.manifest.input.layout.name}`, "
        f"{bundle.manifest.licence}" for bundle in opened
    ]  # fmt: skip
    description = "Use: `last-edge zoo ls`. Terms are those of the data that each was taught:\n\n" + "\n".join(lines)
    info = f"{PACKAGE}-{__version__}.dist-info"
    files[f"{info}/METADATA"] = METADATA.format(version=__version__, description=description).encode()
    files[f"{info}/WHEEL"] = WHEEL.encode()
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{PACKAGE}-{__version__}-py3-none-any.whl"
    with writing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, compress_type=zipfile.ZIP_DEFLATED)
    return path


def _digest(content: bytes) -> str:
    """As RECORD has it: base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, default=Path(FOLDER), help="folder of bundles")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    given = parser.parse_args()
    sys.stdout.write(f"{build(given.zoo, given.out)}\n")


if __name__ == "__main__":
    main()
