"""What machines say of themselves, as their kernels and firmware write it."""

from __future__ import annotations

import select
import subprocess
import sys
from pathlib import Path

import pytest

from last_edge import machine

PI4 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

processor\t: 1
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU part\t: 0xd08

Revision\t: c03114
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
ORIN = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd42
"""
MIXED = """processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd05

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd41

processor\t: 2
CPU implementer\t: 0x51
CPU part\t: 0x801
"""
PC = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu avx2 avx512_vnni\n"


@pytest.mark.parametrize(
    ("text", "architecture", "name"),
    [
        (PI4, "aarch64", "2 × Cortex-A72"),
        (ORIN, "aarch64", "1 × Cortex-A78AE"),
        (MIXED, "aarch64", "1 × Cortex-A55, 1 × Cortex-A78, 1 × ARM core 0x51:0x801"),
        (PC, "x86_64", "AMD EPYC 9R14"),
        (PC, "aarch64", ""),
        ("", "x86_64", ""),
    ],
)
def test_the_processor_is_named_by_its_own_architecture(text: str, architecture: str, name: str) -> None:
    assert machine.processor_name(text, architecture) == name


def test_an_emulated_arm_machine_has_none_of_its_hosts_flags() -> None:
    assert machine.listed_features(PC, "x86_64") == {"fpu", "avx2", "avx512_vnni"}
    assert machine.listed_features(PC, "aarch64") == frozenset()
    assert "asimddp" in machine.listed_features(ORIN, "aarch64")
    assert machine.listed_features(PI4, "aarch64") == {"fp", "asimd", "evtstrm", "crc32", "cpuid"}


def test_capabilities_of_arm_by_the_kernels_bits() -> None:
    # A Cortex-A72's word; a Cortex-A76's, with dot products; a Graviton 3's second word.
    assert machine.arm_features(0x8FF & ~(1 << 8), 0) == {"asimd"}
    assert machine.arm_features(0x100FFF, 0) == {"asimd", "atomics", "fphp", "asimdhp", "asimddp"}
    assert machine.arm_features(0, 1 << 13 | 1 << 14 | 1 << 1) == {"i8mm", "bf16", "sve2"}


@pytest.mark.parametrize(
    ("answer", "now", "before"),
    [
        ("throttled=0x0\n", (), ()),
        ("throttled=0x50005\n", ("under-voltage", "throttled"), ("under-voltage", "throttled")),
        ("throttled=0xe0000\n", (), ("frequency capped", "throttled", "soft temperature limit")),
        ("VCHI initialization failed\n", (), ()),
    ],
)
def test_what_a_pi_says_of_its_power_and_heat(answer: str, now: tuple[str, ...], before: tuple[str, ...]) -> None:
    assert machine.pi_throttling(answer) == (now, before)


def test_heat_is_the_hottest_zone_and_a_cooling_processor_is_slowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, file, text in [
        ("thermal_zone0", "temp", "61200\n"),
        ("thermal_zone1", "temp", "83750\n"),
        ("thermal_zone2", "temp", "broken\n"),
        ("cooling_device0", "type", "cpufreq-cpu0\n"),
        ("cooling_device0", "cur_state", "3\n"),
        ("cooling_device1", "type", "pwm-fan\n"),
        ("cooling_device1", "cur_state", "4\n"),
    ]:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text(text)
    monkeypatch.setattr(machine, "THERMAL", tmp_path)
    monkeypatch.setattr(machine, "_vcgencmd", lambda: "throttled=0x40000\n")
    found = machine.heat()
    assert found == machine.Heat(83.75, ("cpufreq-cpu0 at step 3",), ("throttled",))
    assert found.describe() == "84 °C; slowed: cpufreq-cpu0 at step 3; since the start: throttled"


def test_a_board_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "model"
    tree.write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    monkeypatch.setattr(machine, "DEVICE_TREE", tree)
    assert machine.board() == "NVIDIA Jetson Orin Nano Developer Kit" and machine.is_jetson(machine.board())
    monkeypatch.setattr(machine, "DEVICE_TREE", tmp_path / "absent")
    assert machine.board() == "" and not machine.is_jetson("Raspberry Pi 5 Model B Rev 1.0")


def test_this_machine_has_a_name_and_its_own_instructions() -> None:
    assert machine.processor()
    text = machine.CPU_INFO.read_text() if machine.CPU_INFO.is_file() else ""
    if machine.platform.machine() == "x86_64" and text:
        assert "sse2" in machine.features()


POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from last_edge.machine import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent) as pool:
        pool.submit(os.getpid).result()
        print("at work", flush=True)
        pool.submit(time.sleep, 300).result()
"""


def test_a_process_of_a_pool_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    with subprocess.Popen([sys.executable, tmp_path / "pool.py"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "at work\n"
        parent.kill()
        # The child holds the pipe open as long as it lives.
        ended, _, _ = select.select([parent.stdout], [], [], 60)
        assert ended and parent.stdout.read() == ""
