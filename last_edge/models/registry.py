"""The table of models, a function's name being the model's, and the options that change a variant's defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.names import check_known, did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Variant = TypeVar("Variant", bound="DataclassInstance")
Builder = Callable[..., LandmarkModel]
BUILDERS: dict[str, Builder] = {}
TRANSLATORS: dict[str, Callable[..., Any]] = {}
"""Builders of models that give sentences, see `last_edge.models.sign2text`."""
STREAMERS: dict[str, Callable[..., Any]] = {}
"""Builders of models that answer at every frame, see `last_edge.models.last_lite_stream`."""
ALIASES = {
    "base": "last_v2_base", "nano_e_v3": "last_e_nano", "small_e_v3": "last_e_small", "base_e_v3": "last_e_base",
    "large_e_v3": "last_e_large",
}  # fmt: skip


def register_model(builder: Builder) -> Builder:
    """Put a builder in the table under its own name."""
    BUILDERS[builder.__name__] = builder
    return builder


def model_names() -> tuple[str, ...]:
    """All registered names, sorted."""
    return tuple(sorted(BUILDERS))


def resolve_name(name: str) -> str:
    """The registered name behind a name or alias; `UsageError` with the nearest names when unknown."""
    name = ALIASES.get(name, name)
    known = [*BUILDERS, *TRANSLATORS, *STREAMERS]
    check_known(name, known, "model", hint="last-edge models")
    return name


def create_model(name: str, *, spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """Build a model for an input and a class count; `options` override the variant's defaults."""
    resolved = resolve_name(name)
    if resolved in TRANSLATORS:
        raise UsageError(f"{resolved} gives sentences, not classes", hint="last-edge train, eval, export and translate")
    if resolved in STREAMERS:
        raise UsageError(f"{resolved} answers at every frame of a recording", hint="last-edge train, eval --stream")
    return BUILDERS[resolved](spec, classes, **options)


def register_streamer(builder: Callable[..., Any]) -> Callable[..., Any]:
    """Put a builder of a model that answers at every frame in its table under its own name."""
    STREAMERS[builder.__name__] = builder
    return builder


def streamer_names() -> tuple[str, ...]:
    """All registered models that answer at every frame, sorted."""
    return tuple(sorted(STREAMERS))


def create_streamer(name: str, *, spec: InputSpec, classes: int, **options: Any) -> Any:
    """Build a model that answers at every frame, background among its classes; `UsageError` when unknown."""
    check_known(name, STREAMERS, "streaming model")
    return STREAMERS[name](spec, classes, **options)


def adjust(variant: Variant, options: dict[str, Any]) -> Variant:
    """The variant with some fields replaced; `UsageError` with the nearest names for an unknown field."""
    fields = {field.name for field in dataclasses.fields(variant)}
    for name in options:
        check_known(name, fields, "model option")
    as_tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return dataclasses.replace(variant, **as_tuples)


def check_choice(option: str, value: str, known: Iterable[str]) -> None:
    """`UsageError` with the nearest names when `value` is none of the known ones."""
    known = tuple(known)
    if value not in known:
        raise UsageError(f"model option {option} has no {value!r}", expected=did_you_mean(str(value), known))


def check_per_stage(variant: DataclassInstance, *, names: tuple[str, ...]) -> None:
    """`UsageError` unless each named option has one entry a stage, as many as the first of them."""
    first, *_ = values = [getattr(variant, name) for name in names]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, tuple) or len(value) != len(first):
            raise UsageError(
                f"model option {name} needs one entry a stage", expected=f"{len(first)} entries", got=value
            )
