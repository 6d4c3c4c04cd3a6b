"""The table of models: a function's name is the model's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.names import did_you_mean

Builder = Callable[..., LandmarkModel]
BUILDERS: dict[str, Builder] = {}
TRANSLATORS: dict[str, Callable[..., Any]] = {}
"""Builders of models that give sentences, see `last_edge.models.sign2text`."""
ALIASES = {
    "base": "last_v2_base",
    "nano_e_v3": "last_e_nano",
    "small_e_v3": "last_e_small",
    "base_e_v3": "last_e_base",
    "large_e_v3": "last_e_large",
}


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
    if name not in BUILDERS and name not in TRANSLATORS:
        known = [*BUILDERS, *TRANSLATORS]
        raise UsageError(f"unknown model {name!r}", expected=did_you_mean(name, known), hint="last-edge models")
    return name


def create_model(name: str, *, spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """Build a model for an input and a class count; `options` override the variant's defaults."""
    resolved = resolve_name(name)
    if resolved in TRANSLATORS:
        raise UsageError(f"{resolved} gives sentences, not classes", hint="last-edge train, eval, export and translate")
    return BUILDERS[resolved](spec, classes, **options)
