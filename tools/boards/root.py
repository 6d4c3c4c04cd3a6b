"""An arm64 Debian in a folder, run by QEMU's user emulation as one board's processor, without a network."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from last_edge.errors import InputError, MissingError, UsageError

PROCESSORS = {"cortex-a72": "Raspberry Pi 4, ARMv8.0", "cortex-a76": "Raspberry Pi 5, ARMv8.2 with dot products"}
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
PACKAGES = "python3,python3-venv,ca-certificates,libgl1,libglib2.0-0"
TOOLS = {"mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static", "unshare": "util-linux",
         "chroot": "coreutils", "arch-test": "arch-test"}  # fmt: skip
BINFMT = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
BUILT, VENV, WHEELS, DATA = ".built", "/opt/edge", "/opt/wheels", "/data"
PYTHON = "3.11"
EXTRA = "runtime-lite"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1",
               "LAST_EDGE_CACHE": f"{DATA}/cache", "LAST_EDGE_ZOO": f"{DATA}/zoo"}  # fmt: skip


def missing() -> list[str]:
    """What this machine lacks for it, each with what brings it."""
    lacking = [f"{tool}: apt-get install {package}" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if platform.machine() not in ("aarch64", "arm64") and not BINFMT.exists():
        lacking.append("binfmt for aarch64: update-binfmts --enable qemu-aarch64")
    if os.geteuid() != 0:
        lacking.append("root, for chroot and mounts: sudo make board-check")
    return lacking


@dataclass(frozen=True)
class Root:
    """A folder that holds the system."""

    path: Path

    def build_commands(self) -> list[list[str]]:
        """What makes the system; empty where it is made."""
        if (self.path / BUILT).is_file():
            return []
        options = ["--arch=arm64", "--variant=minbase", f"--include={PACKAGES}"]
        return [["mmdebstrap", *options, SUITE, str(self.path), MIRROR]]

    def build(self) -> None:
        """Make the system once; minutes. `MissingError` where the tools are not here."""
        if lacking := missing():
            raise MissingError("this machine cannot emulate a board", got="; ".join(lacking), hint=lacking[0])
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / BUILT).is_file():
            raise UsageError("not a system that was made whole", where=self.path, hint=f"rm -r {self.path}")
        for command in self.build_commands():
            _run(command)
        # LiteRT counts the processors here; the host's own /sys makes it fail.
        counts = self.path / "sys/devices/system/cpu"
        counts.mkdir(parents=True, exist_ok=True)
        for name in ("possible", "present", "online"):
            (counts / name).write_text("0-1\n")
        (self.path / BUILT).write_text("")

    def install(self, wheel: Path) -> str:
        """A virtual environment with our wheel and what `runtime-lite` brings, as the board's own pip resolves it.

        The host downloads the wheels: inside there is no network. Nothing is done where the same code is installed.
        Returns a hash of the wheel's contents.
        """
        with zipfile.ZipFile(wheel) as archive:
            contents = sorted((member.filename, member.CRC) for member in archive.infolist())
        version = hashlib.sha256(repr(contents).encode()).hexdigest()
        installed = self.path / VENV.lstrip("/") / "last-edge.version"
        if installed.is_file() and installed.read_text() == version:
            return version
        folder = self.path / WHEELS.lstrip("/")
        shutil.rmtree(folder, ignore_errors=True)
        tags = [f"manylinux_{glibc}_aarch64" for glibc in ("2_28", "2_27", "2_17")] + ["manylinux2014_aarch64"]
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        platforms = [f"--platform={tag}" for tag in tags]
        _run([*pip, "download", "--only-binary=:all:", f"--python-version={PYTHON}", *platforms, f"--dest={folder}",
              f"{wheel}[{EXTRA}]"])  # fmt: skip
        if not (self.path / VENV.lstrip("/") / "bin/pip").exists():
            self.run("cortex-a76", ["python3", "-m", "venv", VENV])
        made = f"{WHEELS}/{wheel.name}"
        quiet = ["--quiet", "--no-index", f"--find-links={WHEELS}"]
        self.run("cortex-a76", [f"{VENV}/bin/pip", "install", *quiet, "--force-reinstall", "--no-deps", made])
        self.run("cortex-a76", [f"{VENV}/bin/pip", "install", *quiet, f"{made}[{EXTRA}]"])
        installed.write_text(version)
        return version

    def put(self, source: Path, name: str) -> str:
        """Copy a file or folder to `/data/NAME` of the system; its path in there."""
        target = self.path / DATA.lstrip("/") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
        return f"{DATA}/{name}"

    def run(self, processor: str, command: Sequence[str]) -> str:
        """A command in the system as that processor: own mounts, no network; what it wrote to stdout.

        `InputError` with its last lines where it fails.
        """
        mounts = " && ".join(f"mount --bind /{name} {self.path}/{name}" for name in ("proc", "dev"))
        script = f'{mounts} && exec chroot {self.path} "$@"'
        whole = ["unshare", "--mount", "--net", "bash", "-c", script, "board", *command]
        done = subprocess.run(
            whole, env={**ENVIRONMENT, "QEMU_CPU": processor}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise InputError("a command fails on the emulated board", where=f"{processor}: {' '.join(command)}",
                             got=f"exit code {done.returncode}: {said}")  # fmt: skip
        return done.stdout

    def size_of_install(self) -> int:
        """Bytes of the packages that were installed, pip's own left out."""
        packages = next((self.path / VENV.lstrip("/")).glob("lib/python3*/site-packages"))
        own = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
        files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.stat().st_size for path in files if not path.relative_to(packages).parts[0].startswith(own))


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise MissingError("this step fails", where=" ".join(command)[:200], got=said)
