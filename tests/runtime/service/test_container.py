"""The Dockerfile: what it copies is there, what it runs exists, and nobody in it is root. Built where a builder is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from platform import machine

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
STEPS = [tuple(line.split(maxsplit=1)) for line in LINES]
IGNORED = (ROOT / ".dockerignore").read_text().split()
INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}


BASE = dict(STEPS)["FROM"].split()[0]
PLATFORMS = ("linux/amd64", "linux/arm64")


def works(*words: str) -> bool:
    return shutil.which(words[0]) is not None and not subprocess.run(words, capture_output=True, check=False).returncode


def builder() -> str | None:
    """What builds images here: Docker or Podman where they answer, else Buildah, which needs no daemon."""
    ready = {"docker": ("docker", "info"), "podman": ("podman", "info"), "buildah": ("buildah", "images")}
    return next((name for name, words in ready.items() if works(*words)), None)


def has_base(name: str, platform: str) -> bool:
    """Whether the base image for a platform is here or can be had."""
    if name != "buildah":
        return works(name, "pull", "--platform", platform, BASE)
    show = ["buildah", "inspect", "--type", "image", "--format", "{{.OCIv1.Architecture}}", BASE]
    here = subprocess.run(show, capture_output=True, text=True, check=False).stdout.strip()
    return platform.endswith(here) if here else works("buildah", "pull", "--platform", platform, BASE)


def test_the_last_stage_is_slim_and_nobodys_but_edges() -> None:
    assert {name for name, _ in STEPS} <= INSTRUCTIONS
    bases = [text.split()[0] for name, text in STEPS if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.1[1-4]-slim-\w+", base) for base in bases)
    users = [text for name, text in STEPS if name == "USER"]
    after = STEPS[max(place for place, (name, _) in enumerate(STEPS) if name == "USER") + 1 :]
    assert users[-1] == "edge" and not any("useradd" in text or "apt-get" in text for _, text in after)
    assert json.loads(dict(STEPS)["ENTRYPOINT"]) == ["last-edge"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    for name, text in STEPS:
        if name == "COPY" and not text.startswith("--from"):
            source = text.split()[0]
            assert (ROOT / source).exists() and source not in IGNORED
    # What the wheel is made of goes along.
    assert not {"last_edge", "runtime", "tools", "export", "train", "distill", "README.md", "LICENSE"} & set(IGNORED)


def test_its_commands_and_its_extra_exist() -> None:
    from typer.main import get_command

    from last_edge.tools.cli import application

    known = set(get_command(application()).commands)  # type: ignore[attr-defined]
    assert {*re.findall(r"last-edge (\w+) \w+ hand", TEXT), *json.loads(dict(STEPS)["CMD"])} <= known
    (extra,) = re.findall(r"\.whl\)\[([\w-]+)\]", TEXT)
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


def image_of(name: str, platform: str) -> str:
    """The image, built for a platform."""
    tag, how = f"last-edge-test:{platform[-5:]}", {"buildah": ["bud", "--layers", "--pull=false"]}
    subprocess.run([name, *how.get(name, ["build"]), "--platform", platform, "--tag", tag, ROOT], check=True)
    return tag


@contextmanager
def runner(name: str, tag: str, platform: str, sysfs: Path) -> Iterator[Callable[..., str]]:
    """Runs a command in an image, gives its stdout."""

    def run(*words: str, before: Sequence[str]) -> str:
        return subprocess.run([*before, *words], check=True, capture_output=True, text=True).stdout

    if name == "buildah":
        box = run(before=[name, "from", "--pull-never", tag]).strip()
        try:
            yield partial(run, before=[name, "run", box, "--"])
        finally:
            run(before=[name, "rm", box])
    else:
        sysfs.mkdir()
        for file in ("possible", "present", "online"):
            (sysfs / file).write_text("0-1\n")
        seen = [] if native(platform) else ["--volume", f"{sysfs}:/sys/devices/system/cpu:ro"]
        yield partial(run, before=[name, "run", "--rm", "--platform", platform, *seen, "--entrypoint", "env", tag])


def native(platform: str) -> bool:
    return platform[-5:] == {"x86_64": "amd64", "aarch64": "arm64"}.get(machine())


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_image_is_built_and_runs_as_nobody_special(platform: str, tmp_path: Path) -> None:
    name = builder()
    if name is None or not has_base(name, platform):
        pytest.skip(f"no builder with {BASE} for {platform} here")
    with runner(name, image_of(name, platform), platform, tmp_path / "cpu") as run:
        assert run("id", "-un").strip() == "edge"
        if name == "buildah" and not native(platform):
            return  # it shows the host's /sys, on which ONNX Runtime crashes under emulation
        run("last-edge", "verify", "last_lite_nano_shrec14")
        events = run(
            "last-edge", "run", "last_lite_nano_shrec14", "--source", "samples", "--no-window", "--events", "-"
        )
        assert len(events.splitlines()) > 5 and all(json.loads(line)["label"] for line in events.splitlines())
