"""Reading what a model starts from: a run, a checkpoint folder, or a bundle with float weights."""

from __future__ import annotations

from pathlib import Path

from last_edge.bundle.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import WEIGHTS as BUNDLED
from last_edge.files import sha256_of
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import Recipe
from last_edge.tasks.start import Start
from last_edge.train.checkpoint import WEIGHTS, checkpoint_folder, read_bundled, read_card, read_pointer, read_tensors


def recipe_start(recipe: Recipe) -> Start | None:
    """What a recipe's `training.init` names."""
    return read_start(Path(recipe.training.init)) if recipe.training.init else None


def read_start(path: Path) -> Start:
    """The best checkpoint of a run, a checkpoint folder, or a bundle's float weights; `InputError` where none is."""
    if is_bundle(path):
        bundled, weights = read_bundled(path), Bundle.open(path).manifest.files[BUNDLED]
        card, tensors = bundled.card, bundled.model.state_dict()
        return Start(path, path, weights, card.name, dict(card.options), card.classes, bundled.spec, True, tensors)
    pointer = read_pointer(path) if path.is_dir() else None
    folder = checkpoint_folder(path)
    card, spec = read_card(folder)
    return Start(
        path=path,
        folder=folder,
        sha256=sha256_of(folder / WEIGHTS),
        model=card.name,
        options=dict(card.options),
        outputs=card.classes,
        spec=spec,
        finished=pointer is None or pointer.finished,
        tensors=read_tensors(folder / WEIGHTS),
    )


def read_trunk(path: Path, *, model: str, spec: InputSpec) -> Start:
    """The trunk of what lies at a path, for a model of this name and input; raises as `Start.trunk`."""
    return read_start(path).trunk(model=model, spec=spec)
