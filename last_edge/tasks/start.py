"""What a model starts from: the tensors of another one that has learnt, all or its trunk, everything but the head."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from last_edge.errors import InputError
from last_edge.inputs.spec import InputSpec
from last_edge.names import some

HEADS = ("body.head.", "head.")
"""Of classifiers of clips and of networks for streams."""
SETTINGS = ("streams", "centre", "scale")
ALIKE = ("layout", "channels", *SETTINGS)
SHOWN = 4
Value = TypeVar("Value")


@dataclass(frozen=True)
class StartReport:
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
        own = f", {len(self.unused)} left aside: {some(self.unused, SHOWN)}" if self.unused else ""
        return (
            f"{self.run} {self.checkpoint}: {len(self.loaded)} tensors taken over, new: {some(self.fresh, SHOWN)}{own}"
        )


@dataclass(frozen=True)
class Start:
    """The best checkpoint of a run, a checkpoint folder or a bundle with float weights, on the CPU.

    path: as it was named. model, options, outputs: how it was built; outputs are classes or sub-words. finished: False
    of a run that goes on.
    """

    path: Path
    folder: Path
    sha256: str
    model: str
    options: dict[str, Any]
    outputs: int
    spec: InputSpec
    finished: bool
    tensors: dict[str, Tensor]

    def trunk(self, *, model: str, spec: InputSpec) -> Start:
        """The trunk alone, for a model of this name and input.

        `InputError` for an unfinished run, for another model, and where layout, axes, streams or normalisation differ;
        window, bodies and classes may.
        """
        if not self.finished:
            raise InputError("this run is not finished", where=self.path, hint="the command that started it, to resume")
        if self.model != model:
            raise InputError("the trunk is of another model", where=self.path, expected=model, got=self.model)
        for field in ALIKE:
            expected, got = (getattr(one, field) for one in (spec, self.spec))
            if expected != got:
                hint = f"--set {setting_of(field, got)} to make both alike" if field in SETTINGS else None
                expected, got = (getattr(value, "name", value) for value in (expected, got))
                what = f"the trunk reads another input: {field}"
                raise InputError(what, where=self.path, expected=expected, got=got, hint=hint)
        return dataclasses.replace(self, tensors=trunk_of(self.tensors))

    def into(self, model: nn.Module) -> StartReport:
        """Copy into a model all tensors that fit by name and shape, its head left out; `InputError` when none does."""
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
        return StartReport(str(self.path), self.folder.name, self.sha256, tuple(loaded), tuple(fresh), tuple(unused))


def setting_of(field: str, value: str | Iterable[str]) -> str:
    """A setting of the input as `--set` takes it."""
    return f"input.{field}={value if isinstance(value, str) else '[' + ','.join(value) + ']'}"


def trunk_of(tensors: dict[str, Value]) -> dict[str, Value]:
    """The entries that are not the head's."""
    return {name: value for name, value in tensors.items() if not name.startswith(HEADS)}
