"""Where a training runs: versions and processor of the machine, and profiles of known ones.

A profile says where data lies on a machine and what its GPU wants, as YAML beside the recipes.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from last_edge import records
from last_edge.machine import installed, processor
from last_edge.names import check_known

if TYPE_CHECKING:
    from last_edge.tasks.config import Recipe

PACKAGES = ("last-edge", "torch", "numpy", "onnx", "onnxruntime", "onnxscript", "mediapipe")


def describe_environment(**about: Any) -> dict[str, Any]:
    """Versions, processor and the caller's facts, as plain values."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "packages": {name: installed(name) for name in PACKAGES},
        "commit": commit(),
        **about,
    }


def commit() -> str | None:
    """The commit this code is checked out at, with `+` when files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


FOLDER = Path(__file__).parent / "environments"


@dataclass(frozen=True)
class Profile:
    """One environment.

    data_root: folder of clip stores. batch_guidance: the largest batch that is known to fit, by model family; advice,
    not applied. amp: what `--amp` means. training: values above the recipe's. sgd: further ones where SGD trains.
    """

    about: str
    data_root: str
    batch_guidance: dict[str, int]
    amp: str
    training: dict[str, Any] = field(default_factory=dict)
    sgd: dict[str, Any] = field(default_factory=dict)

    def overrides(self, optimizer: str) -> list[str]:
        """The profile's training values as `--set` texts."""
        values = self.training | (self.sgd if optimizer == "sgd" else {})
        return [f"training.{name}={value}" for name, value in values.items()]

    def recipe(self, name: str | None, *, overrides: Sequence[str] = ()) -> Recipe:
        """The recipe called `name` as it runs here: the profile's values above the recipe's, `overrides` above all."""
        from last_edge.train.recipe import load_recipe

        optimizer = load_recipe(name, overrides=overrides).training.optimizer
        return load_recipe(name, overrides=[*self.overrides(optimizer), *overrides])


def profile_names() -> tuple[str, ...]:
    """All shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_profile(name: str) -> Profile:
    """The profile called `name`; `UsageError` with the nearest names when unknown."""
    check_known(name, profile_names(), "environment", hint="--env local")
    import yaml

    path = FOLDER / f"{name}.yaml"
    return records.from_dict(Profile, yaml.safe_load(path.read_text(encoding="utf-8")), where=path)


def detect(root: Path = Path("/")) -> str:
    """`kaggle` where /kaggle exists, else `local`; the others have no mark to know them by and need `--env`."""
    return "kaggle" if (root / "kaggle").exists() else "local"
