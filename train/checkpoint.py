"""Checkpoints: whole folders of data files, written aside and renamed, read without running any pickle.

A bundle that takes float weights along (`last-edge export --weights`) is read back as one too.
"""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor, nn

from last_edge import records
from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import WEIGHTS as BUNDLED
from last_edge.errors import InputError
from last_edge.files import sha256_of, write_text, writing_folder
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.config import Recipe
from last_edge.tasks.registry import task_of
from last_edge.tasks.start import Start
from last_edge.tasks.task import Task
from last_edge.train.recipe import load_recipe

Which = Literal["best", "last", "final"]
POINTER = "run.json"
WEIGHTS = "model.safetensors"
RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class ModelCard:
    """model.json: how to build the model again and what it was trained on.

    trunk_only: the weights are those of a pre-trained trunk; there is no classifier, and `classes` is 0.
    """

    name: str
    options: dict[str, Any]
    classes: int
    input_sha256: str
    store_sha256: str
    units: str
    trunk_only: bool = False
    schema_version: int = 1


@dataclass(frozen=True)
class Labels:
    """labels.json: class names in logit order."""

    names: tuple[str, ...]
    schema_version: int = 1


@dataclass(frozen=True)
class RunPointer:
    """run.json: which checkpoint folder is the best one and which the last; replaced in one step."""

    best: str
    last: str
    finished: bool
    schema_version: int = 1


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and all that is needed to use it."""

    path: Path
    model: LandmarkModel
    card: ModelCard
    spec: InputSpec
    labels: tuple[str, ...]

    @property
    def recipe(self) -> Recipe:
        """What it was trained by."""
        return load_recipe(str(self.path / RECIPE))


def write_checkpoint(
    folder: Path, *, weights: dict[str, Tensor], card: ModelCard, spec: InputSpec, labels: tuple[str, ...],
    texts: dict[str, str], trainer: dict[str, Any],
) -> None:  # fmt: skip
    """Write one checkpoint folder; a kill or a full disk at any moment leaves no half-written one under this name."""
    with writing_folder(folder, marker=WEIGHTS, force=True) as partial:
        tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        (partial / WEIGHTS).write_bytes(save(tensors))
        write_text(partial / "model.json", records.to_json(card))
        write_text(partial / "input.json", records.to_json(spec))
        write_text(partial / "labels.json", records.to_json(Labels(labels)))
        for name, text in texts.items():
            write_text(partial / name, text)
        (partial / "trainer.pt").write_bytes(_as_bytes(trainer))


def _as_bytes(trainer: dict[str, Any]) -> bytes:
    """The trainer's state in torch's format; through memory, so that a full disk shows as the OSError it is."""
    stream = io.BytesIO()
    torch.save(trainer, stream)
    return stream.getvalue()


def read_pointer(run: Path) -> RunPointer | None:
    """The run's pointer, or None where no checkpoint was completed yet."""
    return records.load(RunPointer, run / POINTER) if (run / POINTER).exists() else None


def checkpoint_folder(path: Path, which: Which = "best") -> Path:
    """A run's best, last or final checkpoint folder; a checkpoint folder is returned as it is.

    `final` is the last one of a run that is finished; `InputError` when it is not.
    """
    if (path / WEIGHTS).exists():
        return path
    pointer = read_pointer(path) if path.is_dir() else None
    if pointer is None:
        there = sorted(item.name for item in path.iterdir()) if path.is_dir() else "nothing"
        raise InputError(
            "not a run or checkpoint", where=path, expected=f"{POINTER} or {WEIGHTS}", got=there,
            hint="last-edge train --model last_e_nano --store STORE --out RUN",
        )  # fmt: skip
    if which == "final" and not pointer.finished:
        raise InputError("this run is not finished", where=path, hint="the same train command to resume")
    return path / "checkpoints" / (pointer.best if which == "best" else pointer.last)


def load_checkpoint(path: Path, which: Which = "best") -> Checkpoint:
    """Read a run's or a folder's checkpoint; the model is in eval mode on the CPU."""
    folder = checkpoint_folder(path, which)
    card, spec = read_card(folder)
    labels = records.load(Labels, folder / "labels.json").names
    if card.trunk_only:
        hint = f"last-edge train --init {path} --model {card.name} --store STORE --out RUN"
        raise InputError("this is a pre-trained trunk: it has no classifier yet", where=folder, hint=hint)
    if len(labels) != card.classes:
        raise InputError("labels.json does not fit the model", where=folder, expected=card.classes, got=len(labels))
    model = task_of(card.name).build(card.name, spec=spec, outputs=card.classes, options=card.options)
    load_weights(model, folder / WEIGHTS)
    return Checkpoint(folder, cast(LandmarkModel, model.eval()), card, spec, labels)


def read_card(folder: Path) -> tuple[ModelCard, InputSpec]:
    """A checkpoint folder's model.json and input.json; `InputError` where they do not belong together."""
    card = records.load(ModelCard, folder / "model.json")
    spec = records.load(InputSpec, folder / "input.json")
    if spec.sha256 != card.input_sha256:
        raise InputError("input.json is not the one the model was trained with", where=folder, got=spec.sha256)
    return card, spec


def task_of_run(path: Path) -> Task:
    """What a run's or checkpoint's model is for."""
    return task_of(read_card(checkpoint_folder(path))[0].name)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file; `InputError` when it cannot be read."""
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise InputError("weights cannot be read", where=path, got=error) from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load safetensors into the model; `InputError` names what does not fit."""
    fit_weights(model, read_tensors(path), where=path)


def fit_weights(model: nn.Module, tensors: dict[str, Tensor], *, where: Path) -> None:
    """Put tensors into the model; `InputError` names what does not fit."""
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError("weights do not fit the model", where=where, got=str(error)[:400]) from error


def read_trainer(folder: Path) -> dict[str, Any]:
    """The trainer's state; loads tensors and plain values only."""
    try:
        return torch.load(folder / "trainer.pt", weights_only=True)
    except Exception as error:
        raise InputError("trainer state cannot be read", where=folder / "trainer.pt", got=str(error)[:200]) from error


def prune(run: Path, *, keep: set[str]) -> None:
    """Remove checkpoint folders that are not in `keep`, partial ones, and locks that a kill left."""
    for folder in (run / "checkpoints").iterdir():
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)
            if folder.is_file():
                folder.unlink()


def read_bundled(path: Path) -> Checkpoint:
    """The checkpoint in a bundle, its model in eval mode on the CPU; `path` of the checkpoint is the bundle's.

    `InputError` for a bundle with a changed byte, without float weights, or whose weights fit another model.
    """
    bundle = Bundle.open(path)
    manifest, info = bundle.manifest, bundle.manifest.model
    tensors = _tensors(bundle)
    task = task_of(info.name)
    model = task.build(info.name, spec=manifest.input, outputs=len(manifest.labels), options=info.kwargs)
    fit_weights(model, tensors, where=bundle.path / BUNDLED)
    card = ModelCard(
        name=info.name, options=info.kwargs, classes=len(manifest.labels), input_sha256=manifest.input.sha256,
        store_sha256=manifest.provenance.data_sha256, units=manifest.units,
    )  # fmt: skip
    return Checkpoint(bundle.path, cast(LandmarkModel, model.eval()), card, manifest.input, manifest.labels)


def read_teacher(path: Path) -> Checkpoint:
    """A run's or a folder's checkpoint, or that of a bundle with float weights; raises as the two of them."""
    return read_bundled(path) if is_bundle(path) else load_checkpoint(path)


def weights_sha256(checkpoint: Checkpoint) -> str:
    """Of the file that a checkpoint's weights were read from."""
    if is_bundle(checkpoint.path):
        return Bundle.open(checkpoint.path).manifest.files[BUNDLED]
    return sha256_of(checkpoint.path / WEIGHTS)


def _tensors(bundle: Bundle) -> dict[str, Tensor]:
    if BUNDLED not in bundle.contents:
        hint = "last-edge export RUN --out BUNDLE --weights"
        raise InputError("the bundle holds no float weights", where=bundle.path, expected=BUNDLED, hint=hint)
    try:
        return load(bundle.read(BUNDLED))
    except SafetensorError as error:
        raise InputError("weights cannot be read", where=bundle.path / BUNDLED, got=error) from error


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
        path=path, folder=folder, sha256=sha256_of(folder / WEIGHTS), model=card.name, options=dict(card.options),
        outputs=card.classes, spec=spec, finished=pointer is None or pointer.finished,
        tensors=read_tensors(folder / WEIGHTS),
    )  # fmt: skip


def read_trunk(path: Path, *, model: str, spec: InputSpec) -> Start:
    """The trunk of what lies at a path, for a model of this name and input; raises as `Start.trunk`."""
    return read_start(path).trunk(model=model, spec=spec)
