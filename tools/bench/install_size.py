"""What an install takes on disk, by package: the figures of docs/install.md.

python -m last_edge.tools.bench.install_size '.[runtime-lite]' --machine aarch64
"""

import argparse
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from last_edge.errors import GateError, LastEdgeError, MissingError
from last_edge.tools.output import markdown

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
GLIBC = ("2_28", "2_27", "2_17")
"""manylinux tags a system with glibc 2.28 takes."""


def install(what: str, folder: Path, *, machine: str = "") -> None:
    """Install a requirement, or `PATH[EXTRA]` of a checkout, with all it brings into a folder of its own.

    machine: `aarch64` or `x86_64`, where wheels of another than this one are wanted; markers on the machine are then
    still judged by this one. `MissingError` with pip's last line.
    """
    tags: list[str] = []
    if machine and machine != platform.machine():
        names = [*(f"manylinux_{glibc}_{machine}" for glibc in GLIBC), f"manylinux2014_{machine}"]
        tags = ["--only-binary=:all:", *(f"--platform={name}" for name in names)]
    path, extras = re.fullmatch(r"([^\[]*)(\[.*\])?", what).groups("")  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as wheels:
        if Path(path).is_dir():
            what = f"{build_wheel(Path(path), Path(wheels))}{extras}"
        _run([*PIP, "install", *tags, "--target", str(folder), what])


def build_wheel(checkout: Path, out: Path) -> Path:
    """The wheel of a checkout, built from a copy: what an earlier build has left beside it stays out."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "checkout")
        left_out = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__", "node_modules")
        shutil.copytree(checkout, copy, symlinks=True, ignore=left_out)
        _run([*PIP, "wheel", "--no-deps", "--wheel-dir", str(out), str(copy)])
    return next(out.glob("*.whl"))


def sizes(folder: Path) -> dict[str, int]:
    """Bytes on disk by distribution, the largest first, compiled modules included; what no distribution lists is ""."""
    found: dict[str, int] = {}
    listed = set[Path]()
    for distribution in metadata.distributions(path=[str(folder)]):
        files = {path for file in distribution.files or () if (path := Path(str(file.locate()))).is_file()} - listed
        found[distribution.name] = sum(path.stat().st_size for path in files)
        listed |= {path.resolve() for path in files}
    everything = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if rest := everything - sum(found.values()):
        found[""] = rest
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise MissingError("pip cannot install this", where=command[-1], got=last)


def main() -> int:
    """Install into a temporary folder, print the table, and fail above a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", help="a requirement, or PATH[EXTRA] of a checkout")
    parser.add_argument(
        "--machine", default="", choices=["aarch64", "x86_64"], help="whose wheels; default: this one's"
    )
    parser.add_argument("--max-mb", type=float, help="fail (exit 4) above this")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            install(options.what, Path(folder), machine=options.machine)
            found = sizes(Path(folder))
        whole = sum(found.values()) / 1e6
        rows = {name or "compiled and shared files": f"{size / 1e6:.1f}" for name, size in found.items() if size > 5e5}
        rows["all"] = f"{whole:.1f}"
        sys.stdout.write(markdown({"package": list(rows), "MB": list(rows.values())}) + "\n")
        if options.max_mb is not None and whole > options.max_mb:
            raise GateError("larger than allowed", where=options.what, expected=f"<= {options.max_mb} MB",
                            got=f"{whole:.1f} MB")  # fmt: skip
    except LastEdgeError as error:
        sys.stderr.write(f"error: {error.render()}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
