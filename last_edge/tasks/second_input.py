"""Training with a second input: the features of each batch's clips, and a model that fits those of its store."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.clips.features import ClipFeatures, features_for, open_features
from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError
from last_edge.inputs.features import FeatureInput
from last_edge.models.hybrid_nslt import Options
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.registry import adjust, resolve_name
from last_edge.tasks.config import Recipe
from last_edge.tasks.objective import CrossEntropy

HYBRIDS = ("hybrid_nslt",)
WIDTH = "feature_dim"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SecondInput:
    """A store's features and what a model reads of them."""

    features: ClipFeatures
    wanted: FeatureInput


def reads_features(recipe: Recipe) -> bool:
    """Whether a recipe's model has a second input."""
    return resolve_name(recipe.model.name) in HYBRIDS


def second_input(recipe: Recipe) -> FeatureInput:
    """What the recipe's model reads beside landmarks."""
    return adjust(Options(), recipe.model.options).second_input


def open_second_input(recipe: Recipe, store: ClipStore) -> SecondInput:
    """The store's features for a recipe's model; `InputError` where there are none, or none of that width."""
    wanted = second_input(recipe)
    return SecondInput(features_for(store, wanted), wanted)


def fit_second_input(recipe: Recipe, store: ClipStore) -> Recipe:
    """The recipe with its model's `feature_dim` that of the store's features; with a warning where it said another.

    A recipe of a model with one input comes back as it is. `InputError` where the store has no such features.
    """
    if not reads_features(recipe):
        return recipe
    if recipe.training.mixup:
        raise UsageError("mixup does not mix features", where="training.mixup", hint="--set training.mixup=0")
    wanted = second_input(recipe)
    found = open_features(store, wanted.name).width
    if WIDTH in recipe.model.options and found != wanted.width:
        log.warning(
            "features %r have %d numbers a frame, the recipe says %d: the model is built for %d",
            wanted.name, found, wanted.width, found,
        )  # fmt: skip
    fitted = {"features": wanted.name, "feature_frames": wanted.frames, WIDTH: found}
    model = dataclasses.replace(recipe.model, options={**recipe.model.options, **fitted})
    return dataclasses.replace(recipe, model=model)


class FeatureCrossEntropy(CrossEntropy):
    """`CrossEntropy` of a model that reads features: those of the batch's clips, as they are stored."""

    def __init__(self, source: SecondInput, **settings: Any) -> None:
        super().__init__(**settings)
        self.source, self.helpers = source, nn.Module()
        self._rows = torch.empty(0)

    def begin_batch(self, clips: Tensor, view: int) -> None:
        """Fetch the features of the batch to come, (N, F, E)."""
        self._rows = torch.from_numpy(self.source.features.windows(clips.tolist(), self.source.wanted.frames))

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        logits = model.from_streams(self.streams(model, points), self._rows.to(points.device))
        return self.loss(model, logits, targets), logits
