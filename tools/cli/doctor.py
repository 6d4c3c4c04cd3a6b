"""`last-edge doctor`: what this machine has, what is missing, and the command that mends each.

Every check looks and reports; none changes anything or raises.
"""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Annotated

import typer

from last_edge import records
from last_edge.errors import MissingError
from last_edge.tools.cli.options import SCREEN, Screen

OLDEST_PYTHON, FIRST_UNTRIED_PYTHON = (3, 11), (3, 15)
# Package -> the extra that brings it; "" for what every command needs.
PACKAGES = {
    "numpy": "", "rich": "", "typer": "", "onnxruntime": "runtime", "mediapipe": "runtime",
    "ai-edge-litert": "runtime-lite", "opencv-python": "runtime", "pose-format": "runtime", "omegaconf": "train",
    "pyarrow": "train", "torch": "train", "safetensors": "train", "scipy": "train", "onnx": "export",
    "onnxscript": "export", "onnxslim": "export", "matplotlib": "report", "jinja2": "report",
}  # fmt: skip
# What is imported under another name than it is installed.
IMPORTED_AS = {
    "cv2": "opencv-python", "pose_format": "pose-format", "ai_edge_litert": "ai-edge-litert", "yaml": "omegaconf",
}  # fmt: skip
# On a Jetson: PyPI's packages are not for its GPU, JetPack brings TensorRT.
ORT_FOR_JETPACK = "pip uninstall onnxruntime, then NVIDIA's wheel of onnxruntime-gpu for this JetPack and Python"
ON_JETSON = {
    "onnxruntime-cuda": ORT_FOR_JETPACK, "onnxruntime-tensorrt": ORT_FOR_JETPACK,
    "tensorrt": "JetPack's own: python3 -m venv --system-site-packages; pip install cuda-python",
}  # fmt: skip
FETCH = "last-edge models fetch"
VARIABLE = "LAST_EDGE_DATA"
ROOT = Path(__file__).resolve().parents[2]
PLACES = {
    "shrec17": "shrec17/SHREC2017_skeletons.tar.xz", "shrec21": "shrec21/SHREC2021_skeletons.tar.xz",
    "utd_mhad": "utd_mhad/Skeleton.zip", "holistic_words": "holistic_words", "clips": "clips",
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One thing looked at. needed: every command needs it. mend: the command that brings it."""

    group: str
    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = False


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Fetch the landmark models that are missing.")] = False,
    screen: Screen = SCREEN,
) -> None:
    """Show packages, processor, GPU, cameras, landmark models and real data, with what mends each that is missing.

    Exit code 5 when something is missing that every command needs.

    Example: last-edge doctor --fix
    """
    if fix:
        from last_edge.runtime.landmarks.models import MODELS, fetch

        for name in MODELS:
            fetch(name)
    checks = all_checks()
    if screen.json:
        screen.emit({"ok": all(check.ok for check in checks), "checks": [records.to_dict(check) for check in checks]})
    else:
        for group in dict.fromkeys(check.group for check in checks):
            typer.echo(f"\n{group}")
            for check in checks:
                if check.group == group:
                    typer.echo(line(check))
        typer.echo(f"\n{verdict(checks)}")
    missing = [check for check in checks if check.needed and not check.ok]
    if missing:
        names = ", ".join(check.name for check in missing)
        raise MissingError("needed and missing", got=names, hint=missing[0].mend)


def verdict(checks: list[Check]) -> str:
    """In one line what this installation can do: run bundles, see, teach and export."""
    there = {check.name for check in checks if check.ok}
    models = any(check.ok for check in checks if check.group == "Landmark models")
    finds = bool({"mediapipe", "ai-edge-litert"} & there) and "opencv-python" in there and models
    can = {
        "run bundles": "onnxruntime" in there,
        "find landmarks in images": finds,
        "see through a camera": any(check.ok for check in checks if check.group == "Cameras"),
        "train and teach": {"torch", "omegaconf", "pyarrow", "safetensors"} <= there,
        "export and quantise": {"torch", "onnx", "onnxscript", "onnxslim"} <= there,
    }
    able, unable = [what for what, so in can.items() if so], [what for what, so in can.items() if not so]
    return f"This machine can {', '.join(able) or 'do nothing yet'}" + (
        f"; not: {', '.join(unable)}." if unable else "."
    )


def line(check: Check) -> str:
    """One check in one line, with what mends it."""
    mark = "[ok]     " if check.ok else "[missing]"
    mend = f"  → {check.mend}" if check.mend and not check.ok else ""
    return f"  {mark} {check.name}: {check.found}{mend}"


def all_checks() -> list[Check]:
    """Every check, group by group."""
    groups = (_python, _packages, _backends, _processor, _gpu, _cameras, _landmark_models, _real_data)
    return [check for group in groups for check in group()]


def _python() -> Iterator[Check]:
    fits = OLDEST_PYTHON <= sys.version_info[:2] < FIRST_UNTRIED_PYTHON
    mend = "make setup PYTHON=python3.11"
    yield Check("Python", "version", fits, platform.python_version(), mend, needed=True)


def _packages() -> Iterator[Check]:
    from last_edge.machine import installed

    headless = installed("opencv-python-headless")
    for name, extra in PACKAGES.items():
        # A build of OpenCV without windows does as well, but for --window.
        found = installed(name) or (headless and f"{headless}, headless" if name == "opencv-python" else None)
        if name == "mediapipe" and found:
            found = _what_mediapipe_sends() or found
        mend = f"pip install 'last-edge[{extra}]'" if extra else "pip install last-edge"
        mend = _mediapipe() if name == "mediapipe" else mend
        yield Check("Packages", name, found is not None, found or "not installed", mend, needed=not extra)


def _what_mediapipe_sends() -> str:
    """Of a release that reports to its maker, what it does; "" of others."""
    try:
        from last_edge.runtime.landmarks.mediapipe import what_it_sends
    except ImportError:
        return ""
    return what_it_sends()


def _mediapipe() -> str:
    """What brings MediaPipe, or what does without it where it has no wheel."""
    try:
        from last_edge.runtime.landmarks.mediapipe import how_to_get_it
    except ImportError:
        return "pip install 'last-edge[runtime]'"
    return how_to_get_it()


def _backends() -> Iterator[Check]:
    """What could run a bundle here; one is enough."""
    from last_edge import machine

    mends = ON_JETSON if machine.is_jetson(machine.board()) else {}
    try:
        from last_edge.runtime.backends import BACKENDS
    except ImportError:
        return
    for name, backend in BACKENDS.items():
        reason = backend.why_not()
        yield Check("Backends", name, not reason, reason or backend.version(), mends.get(name, backend.mend))


def extra_of(module: str) -> str:
    """The extra that brings a module, "" when none does."""
    top = module.partition(".")[0]
    return PACKAGES.get(IMPORTED_AS.get(top, top), "")


def _processor() -> Iterator[Check]:
    from last_edge import machine

    if name := machine.board():
        yield Check("Processor", "board", True, name)
    yield Check("Processor", "model", True, f"{machine.processor()}, {os.cpu_count()} cores, {platform.machine()}")
    flags = machine.features()
    for flag in machine.INSTRUCTIONS:
        if flag in flags:
            yield Check("Processor", flag, True, machine.INSTRUCTIONS[flag])
    fast = {flag for flag, use in machine.INSTRUCTIONS.items() if "INT8" in use}
    if flags and not fast & flags:
        yield Check("Processor", "INT8 instructions", False, "none: INT8 files will be smaller, hardly faster")
    heat = machine.heat()
    if found := heat.describe():
        mend = "a better supply or heat sink; what is timed meanwhile counts for nothing"
        yield Check("Processor", "temperature", not heat.slowed, found, mend)


def _gpu() -> Iterator[Check]:
    """Asks torch where it is installed; this is the one slow check."""
    if util.find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield Check("GPU", f"cuda:{index}", True, torch.cuda.get_device_name(index))
    else:
        found = f"none that torch {torch.__version__} can use; training runs on the processor"
        yield Check("GPU", "cuda", False, found)


def _cameras() -> Iterator[Check]:
    devices = sorted(Path("/dev").glob("video*"))
    for device in devices:
        usable = os.access(device, os.R_OK | os.W_OK)
        mend = "sudo usermod -aG video $USER"
        found = f"{device}, {camera_name(device)}" if usable else f"{device}: no permission"
        yield Check("Cameras", device.name, usable, found, mend)
        if usable and (given := camera_formats(device)):
            yield Check("Cameras", f"{device.name} gives", True, given)
    if not devices and sys.platform == "linux":
        yield Check("Cameras", "camera", False, "none", "plug one in, or use --source FILE.mp4")


def camera_name(device: Path, *, known: Path = Path("/sys/class/video4linux")) -> str:
    """What a camera calls itself, and the source that names it."""
    path = known / device.name / "name"
    name = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else "unnamed"
    return f"{name}: --source cam:{device.name.removeprefix('video')}"


def camera_formats(device: Path) -> str:
    """Pixel formats and sizes that a camera's driver tells; "" where it tells none."""
    if sys.platform != "linux":
        return ""
    try:
        from last_edge.runtime.sources.live import describe, formats
    except ImportError:
        return ""
    return describe(formats(device))


def _landmark_models() -> Iterator[Check]:
    from last_edge.runtime.landmarks.models import MODELS, model_path

    for name in MODELS:
        try:
            yield Check("Landmark models", name, True, str(model_path(name)))
        except MissingError as error:
            yield Check("Landmark models", name, False, error.what, error.hint or f"{FETCH} {name}")


def _real_data() -> Iterator[Check]:
    """The benchmark data sets: in $LAST_EDGE_DATA, else in data/, else in ../shared/data beside the repository."""
    for name in PLACES:
        path = find_data(name)
        yield Check("Real data", name, path is not None, str(path or "not found"), f"export {VARIABLE}=/path/to/data")


def data_roots() -> tuple[Path, ...]:
    """Folders searched for real data, best first."""
    named = os.environ.get(VARIABLE)
    return (Path(named),) if named else (ROOT / "data", ROOT.parent / "shared" / "data")


def find_data(name: str) -> Path | None:
    """The file or folder of a dataset, None when it is nowhere. `name` is one of `PLACES` or a path below a root."""
    candidates = [root / PLACES.get(name, name) for root in data_roots()]
    return next((path for path in candidates if path.exists()), None)
