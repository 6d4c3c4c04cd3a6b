"""The machine this runs on: processor, instruction sets, board, temperature, whether it is slowed down, packages.

Files are those of Linux; elsewhere, and where a file is absent, the answers are empty. Instruction sets are those of
the architecture that Python runs on: under emulation /proc/cpuinfo tells of the host's.
"""

import ctypes
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
DEVICE_TREE = Path("/proc/device-tree/model")
THERMAL = Path("/sys/class/thermal")
ARM, X86 = ("aarch64", "arm64"), ("x86_64", "amd64", "i686")
AT_HWCAP, AT_HWCAP2 = 16, 26
# Bits of the kernel's asm/hwcap.h for 64-bit ARM.
HWCAP = {"asimd": 1, "atomics": 8, "fphp": 9, "asimdhp": 10, "asimddp": 20, "sve": 22}
HWCAP2 = {"sve2": 1, "svei8mm": 9, "i8mm": 13, "bf16": 14}
# Instruction set as Linux names it -> what it is good for here.
INSTRUCTIONS = {
    "avx2": "fast float32", "avx512f": "wider float32", "avx512_vnni": "fast INT8", "avx_vnni": "fast INT8",
    "avx512_bf16": "fast bfloat16 training", "amx_int8": "INT8 tiles", "asimd": "NEON, fast float32",
    "asimdhp": "float16 arithmetic", "asimddp": "dot products, fast INT8", "i8mm": "matrix products, faster INT8",
    "sve": "scalable vectors", "bf16": "bfloat16 arithmetic",
}  # fmt: skip
# (implementer, part) of a core -> its name.
CORES = {
    (0x41, 0xD03): "Cortex-A53", (0x41, 0xD04): "Cortex-A35", (0x41, 0xD05): "Cortex-A55", (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72", (0x41, 0xD0B): "Cortex-A76", (0x41, 0xD0C): "Neoverse N1",
    (0x41, 0xD40): "Neoverse V1", (0x41, 0xD41): "Cortex-A78", (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD46): "Cortex-A510", (0x41, 0xD49): "Neoverse N2", (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4F): "Neoverse V2", (0x4E, 0x004): "NVIDIA Carmel",
}  # fmt: skip
# Bits of the Raspberry Pi's firmware; the same sixteen higher say that it has been so since the start.
PI_THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
SINCE_START = 16


@dataclass(frozen=True)
class Heat:
    """celsius: of the hottest sensor, None where there is none. slowed: why the processor is slowed now, in words.

    slowed_before: what of that has been since the machine was started, where the board says.
    """

    celsius: float | None = None
    slowed: tuple[str, ...] = ()
    slowed_before: tuple[str, ...] = ()

    def describe(self) -> str:
        """As text, "" where nothing is known."""
        shown = [] if self.celsius is None else [f"{self.celsius:.0f} °C"]
        shown += [f"slowed: {', '.join(self.slowed)}"] if self.slowed else []
        shown += [f"since the start: {', '.join(self.slowed_before)}"] if self.slowed_before else []
        return "; ".join(shown)


def processor() -> str:
    """The processor's name."""
    text = _read(CPU_INFO)
    return processor_name(text, platform.machine()) or platform.processor() or platform.machine()


def processor_name(cpu_info: str, machine: str) -> str:
    """The name in the text of /proc/cpuinfo, of cores on ARM; "" where it says none or is of another architecture."""
    if (machine in X86) != ("\nflags" in cpu_info or cpu_info.startswith("flags")):
        return ""
    if found := _values(cpu_info, "model name"):
        return found[0]
    pairs = zip(_values(cpu_info, "CPU implementer"), _values(cpu_info, "CPU part"), strict=False)
    cores = [CORES.get((int(maker, 16), int(part, 16)), f"ARM core {maker}:{part}") for maker, part in pairs]
    return ", ".join(f"{cores.count(name)} × {name}" for name in dict.fromkeys(cores))


def features() -> frozenset[str]:
    """Instruction sets by the kernel's names; on ARM of the processor that runs this very process."""
    if sys.platform == "linux" and platform.machine() in ARM:
        try:
            getauxval = ctypes.CDLL(None).getauxval
        except (OSError, AttributeError):
            pass
        else:
            getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
            return arm_features(getauxval(AT_HWCAP), getauxval(AT_HWCAP2))
    return listed_features(_read(CPU_INFO), platform.machine())


def arm_features(hwcap: int, hwcap2: int) -> frozenset[str]:
    """Instruction sets that two words of hardware capabilities name."""
    words = ((HWCAP, hwcap), (HWCAP2, hwcap2))
    return frozenset(name for bits, word in words for name, bit in bits.items() if word >> bit & 1)


def listed_features(cpu_info: str, machine: str) -> frozenset[str]:
    """Instruction sets of the first core in the text of /proc/cpuinfo; empty where it is of another architecture."""
    found = _values(cpu_info, "flags" if machine in X86 else "Features")
    return frozenset(found[0].split() if found else ())


def board() -> str:
    """The board's own name, as `Raspberry Pi 4 Model B Rev 1.4`; "" for a machine without a device tree."""
    return _read(DEVICE_TREE).rstrip("\0\n ")


def is_jetson(name: str) -> bool:
    """Whether a board's name is that of a Jetson."""
    return "jetson" in name.lower() or "nvidia" in name.lower()


def heat() -> Heat:
    """Temperature and throttling as this machine tells them."""
    sensors = [_number(path) for path in sorted(THERMAL.glob("thermal_zone*/temp"))]
    hottest = max((value / 1000 for value in sensors if value), default=None)
    now, before = pi_throttling(_vcgencmd())
    for device in sorted(THERMAL.glob("cooling_device*")):
        kind = _read(device / "type").strip()
        if "cpufreq" in kind and (_number(device / "cur_state") or 0) > 0:
            now = (*now, f"{kind} at step {_number(device / 'cur_state'):g}")
    return Heat(hottest, now, before)


def pi_throttling(answer: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What `vcgencmd get_throttled` says of now and of the time since the start: `throttled=0x50005`."""
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", answer)
    word = int(found.group(1), 16) if found else 0
    now, before = (
        [name for bit, name in PI_THROTTLED.items() if word >> bit + later & 1] for later in (0, SINCE_START)
    )
    return tuple(now), tuple(before)


def _vcgencmd() -> str:
    command = shutil.which("vcgencmd")
    if command is None:
        return ""
    try:
        return subprocess.run([command, "get_throttled"], capture_output=True, text=True, check=False, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _values(text: str, name: str) -> list[str]:
    """What stands after `name :` in each line that begins so."""
    lines = (line.partition(":") for line in text.splitlines())
    return [value.strip() for key, _, value in lines if key.strip() == name]


def _number(path: Path) -> float | None:
    try:
        return float(_read(path))
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def installed(package: str) -> str | None:
    """An installed package's version, None where it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def end_with_parent() -> None:
    """In a process of a pool: end as soon as the one that started it is gone, even if it was killed."""
    if (parent := multiprocessing.parent_process()) is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
