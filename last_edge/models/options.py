"""Options of a model: a variant's defaults changed by the caller, with faults named."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from last_edge.errors import UsageError
from last_edge.names import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Variant = TypeVar("Variant", bound="DataclassInstance")


def adjust(variant: Variant, options: dict[str, Any]) -> Variant:
    """The variant with some fields replaced; `UsageError` with the nearest names for an unknown field."""
    fields = {field.name for field in dataclasses.fields(variant)}
    for name in options:
        if name not in fields:
            raise UsageError(f"unknown model option {name!r}", expected=did_you_mean(name, fields))
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
