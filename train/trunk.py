"""The trunk: all of a model but its head. What pre-training leaves behind, and what a later training starts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from last_edge.bundle.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import WEIGHTS as BUNDLED
from last_edge.errors import InputError
from last_edge.files import sha256_of
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.train.checkpoint import WEIGHTS, checkpoint_folder, read_bundled, read_card, read_pointer, read_tensors

HEAD = "body.head."
ALIKE = ("layout", "channels", "streams", "centre", "scale")
Value = TypeVar("Value")


@dataclass(frozen=True)
class TrunkReport:
    """What a model started from: tensors it took over, tensors of its own that stay as drawn, tensors nobody took."""

    run: str
    checkpoint: str
    sha256: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for final.json."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """One line for people."""
        own = f", {len(self.unused)} left aside: {_some(self.unused)}" if self.unused else ""
        return f"{self.run} {self.checkpoint}: {len(self.loaded)} tensors taken over, new: {_some(self.fresh)}{own}"


@dataclass(frozen=True)
class Trunk:
    """The trunk of a finished run, of a checkpoint or of a bundle, on the CPU."""

    path: Path
    folder: Path
    sha256: str
    tensors: dict[str, Tensor]

    def into(self, model: LandmarkModel) -> TrunkReport:
        """Copy into a model all tensors that fit by name and shape; `InputError` when none does."""
        own = trunk_of(model.state_dict())
        fits = {name: t for name, t in self.tensors.items() if name in own and own[name].shape == t.shape}
        if not fits:
            raise InputError("nothing of this trunk fits the model", where=self.folder, got=sorted(self.tensors)[:3])
        with torch.no_grad():
            for name, tensor in fits.items():
                own[name].copy_(tensor)
        loaded = [name for name in model.state_dict() if name in fits]
        fresh = [name for name in model.state_dict() if name not in fits]
        unused = [name for name in self.tensors if name not in fits]
        return TrunkReport(str(self.path), self.folder.name, self.sha256, tuple(loaded), tuple(fresh), tuple(unused))


def read_trunk(path: Path, *, model: str, spec: InputSpec) -> Trunk:
    """The best checkpoint's trunk of a run, that of a checkpoint folder or of a bundle with float weights, for a model
    of this name and input.

    `InputError` for an unfinished run, for another model, and where layout, axes, streams or normalisation differ;
    window, bodies and classes may.
    """
    name, own, trunk = _from_bundle(path) if is_bundle(path) else _from_run(path)
    if name != model:
        raise InputError("the trunk is of another model", where=path, expected=model, got=name)
    for field in ALIKE:
        expected, got = getattr(spec, field), getattr(own, field)
        if expected != got:
            hint = f"--set input.{field}=... to make both alike" if field in ("streams", "centre", "scale") else None
            what, shown = f"the trunk reads another input: {field}", (_short(expected), _short(got))
            raise InputError(what, where=path, expected=shown[0], got=shown[1], hint=hint)
    return trunk


def _from_bundle(path: Path) -> tuple[str, InputSpec, Trunk]:
    """Model, input and trunk of a bundle's float weights."""
    bundled = read_bundled(path)
    weights = Bundle.open(path).manifest.files[BUNDLED]
    return bundled.card.name, bundled.spec, Trunk(path, path, weights, trunk_of(bundled.model.state_dict()))


def _from_run(path: Path) -> tuple[str, InputSpec, Trunk]:
    """Model, input and trunk of a finished run's best checkpoint, or of a checkpoint folder."""
    pointer = read_pointer(path) if path.is_dir() else None
    if pointer is not None and not pointer.finished:
        raise InputError("this run is not finished", where=path, hint="the command that started it, to resume")
    folder = checkpoint_folder(path)
    card, own = read_card(folder)
    tensors = trunk_of(read_tensors(folder / WEIGHTS))
    return card.name, own, Trunk(path, folder, sha256_of(folder / WEIGHTS), tensors)


def trunk_of(tensors: dict[str, Value]) -> dict[str, Value]:
    """The entries that are not the head's."""
    return {name: value for name, value in tensors.items() if not name.startswith(HEAD)}


def _short(value: Any) -> Any:
    return getattr(value, "name", value)


def _some(names: Iterable[str], *, most: int = 4) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
