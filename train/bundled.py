"""The float weights that a bundle takes along (`last-edge export --weights`), read back as the exported model."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import WEIGHTS
from last_edge.errors import InputError
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.train.checkpoint import Checkpoint, ModelCard, fit_weights


def read_bundled(path: Path) -> Checkpoint:
    """The checkpoint in a bundle, its model in eval mode on the CPU; `path` of the checkpoint is the bundle's.

    `InputError` for a bundle with a changed byte, without float weights, or whose weights fit another model.
    """
    bundle = Bundle.open(path)
    manifest, info = bundle.manifest, bundle.manifest.model
    tensors = _tensors(bundle)
    model = create_model(info.name, spec=manifest.input, classes=len(manifest.labels), **info.kwargs)
    fit_weights(model, tensors, where=bundle.path / WEIGHTS)
    card = ModelCard(
        name=info.name,
        options=info.kwargs,
        classes=len(manifest.labels),
        input_sha256=manifest.input.sha256,
        store_sha256=manifest.provenance.data_sha256,
        units=manifest.units,
    )
    return Checkpoint(bundle.path, model.eval(), card, manifest.input, manifest.labels)


def read_model(path: Path) -> LandmarkModel:
    """The model in a bundle with float weights, in eval mode on the CPU; raises as `read_bundled`."""
    return read_bundled(path).model


def _tensors(bundle: Bundle) -> dict[str, Tensor]:
    if WEIGHTS not in bundle.contents:
        hint = "last-edge export RUN --out BUNDLE --weights"
        raise InputError("the bundle holds no float weights", where=bundle.path, expected=WEIGHTS, hint=hint)
    try:
        return load(bundle.read(WEIGHTS))
    except SafetensorError as error:
        raise InputError("weights cannot be read", where=bundle.path / WEIGHTS, got=error) from error
