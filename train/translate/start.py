"""What a translator starts from: a translator's run, whole, or the trunk of a recogniser's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from last_edge.bundle.bundle import Bundle, is_bundle
from last_edge.errors import InputError, UsageError
from last_edge.files import sha256_of
from last_edge.inputs.spec import InputSpec
from last_edge.models.registry import TRANSLATORS
from last_edge.models.sign2text import Sign2Text
from last_edge.tasks.config import Recipe
from last_edge.train.checkpoint import WEIGHTS, checkpoint_folder, read_card, read_tensors
from last_edge.train.translate.evaluate import load_translator
from last_edge.train.trunk import Trunk, TrunkReport, read_trunk

TRUNK = "trunk."
OPTIONS = ("trunk", "trunk_options", "trunk_frames")


def model_options(recipe: Recipe) -> dict[str, Any]:
    """Options of a recipe's model, with those of the trunk that it starts from.

    `UsageError` for a trunk that is asked for without a run to take it from, or of another model.
    """
    asked = dict(recipe.model.options)
    if not recipe.training.init:
        if asked.get("trunk"):
            raise UsageError("a trunk comes from a run that has learnt", hint="--init RUN")
        return asked
    name, options = _named(Path(recipe.training.init))
    if name in TRANSLATORS:
        found = {key: options[key] for key in OPTIONS if key in options}
    else:
        found = {"trunk": name, "trunk_options": options}
    if asked.get("trunk", found.get("trunk")) != found.get("trunk"):
        where = recipe.training.init
        raise UsageError(
            "the start has another trunk", where=where, expected=asked["trunk"], got=found.get("trunk") or "none"
        )
    return asked | found


def starts_from_recogniser(recipe: Recipe) -> bool:
    """Whether a recipe takes a recogniser's trunk."""
    return bool(recipe.training.init) and _named(Path(recipe.training.init))[0] not in TRANSLATORS


def read_start(recipe: Recipe, spec: InputSpec) -> Trunk | None:
    """The tensors to start from; `InputError` when they are of another model, layout or normalisation."""
    if not recipe.training.init:
        return None
    path = Path(recipe.training.init)
    if starts_from_recogniser(recipe):
        trunk = read_trunk(path, model=_named(path)[0], spec=spec)
        return dataclasses.replace(trunk, tensors={f"{TRUNK}{name}": value for name, value in trunk.tensors.items()})
    start, folder = load_translator(path), checkpoint_folder(path)
    if (start.card.name, start.translator.spec.layout) != (recipe.model.name, spec.layout):
        raise InputError("the start is of another model or layout", where=folder, expected=recipe.model.name)
    return Trunk(path, folder, sha256_of(folder / WEIGHTS), read_tensors(folder / WEIGHTS))


def check_whole(report: TrunkReport) -> None:
    """`InputError` when a part of the model's trunk was not among the tensors it starts from."""
    lacking = [name for name in report.fresh if name.startswith(TRUNK)]
    if lacking:
        raise InputError("the trunk does not fit the model", where=report.run, expected=lacking[0])


def freeze(model: Sign2Text, *, trunk_alone: bool) -> None:
    """Keep what came from the start as it is: the trunk, or all that makes what the decoder reads."""
    parts = [model.trunk] if trunk_alone else [model.trunk, model.stem, model.encoder, model.encoder_norm]
    for part in parts:
        if part is not None:
            part.requires_grad_(False)


def _named(path: Path) -> tuple[str, dict[str, Any]]:
    """Model and options of a run, a checkpoint or a bundle."""
    if is_bundle(path):
        info = Bundle.open(path).manifest.model
        return info.name, dict(info.kwargs)
    card, _ = read_card(checkpoint_folder(path))
    return card.name, dict(card.options)
