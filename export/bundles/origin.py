"""Where a bundle's weights come from, read from its checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import yaml

from last_edge import records
from last_edge.bundle.manifest import Provenance
from last_edge.errors import InputError
from last_edge.files import sha256_of
from last_edge.train.checkpoint import ModelCard
from last_edge.train.environment import commit, version

EXPORTERS = ("last-edge", "torch", "onnx", "onnxscript", "onnxslim", "onnxruntime")


class Stored(Protocol):
    """A checkpoint's folder and what its model.json says."""

    @property
    def path(self) -> Path: ...

    @property
    def card(self) -> ModelCard: ...


def provenance_of(checkpoint: Stored) -> Provenance:
    """Commits, data, weights, seed and versions; `InputError` names a damaged `env.json` or `recipe.yaml`."""
    environment = _mapping(checkpoint.path / "env.json", records.read_json)
    seed = _mapping(checkpoint.path / "recipe.yaml", _read_yaml).get("seed")
    if seed is not None and not isinstance(seed, int):
        raise InputError("seed is not a whole number", where=checkpoint.path / "recipe.yaml", got=seed)
    return Provenance(
        commit=commit() or "",
        trained_commit=str(environment.get("commit") or ""),
        data_sha256=checkpoint.card.store_sha256,
        checkpoint_sha256=sha256_of(checkpoint.path / "model.safetensors"),
        seeds={} if seed is None else {"training": seed},
        versions={package: version(package) or "unknown" for package in EXPORTERS},
    )


def _mapping(path: Path, read: Any) -> dict[str, Any]:
    """A file's names and values, empty where there is no such file."""
    content = read(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise InputError("not a mapping of names to values", where=path, got=type(content).__name__)
    return content


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError("not a YAML file", where=path, got=error) from error
