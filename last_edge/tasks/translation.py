"""Translation: the sentence of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import Plan, translation_plan
from last_edge.tasks.task import Views

if TYPE_CHECKING:
    from last_edge.tasks.sentence_learner import SentenceLearner
    from last_edge.tasks.start import Start

ONLY_CLASSES = ("loss", "class_weights", "mixup", "compile", "label_share")
"""Settings of a training that only a classifier can follow."""


class Translation:
    """See `Task`."""

    name = "translation"

    def fitted(self, recipe: Recipe, store: ClipStore) -> Recipe:
        """See `Task`."""
        t, usual = recipe.training, type(recipe.training)()
        for name in ONLY_CLASSES:
            if getattr(t, name) != (expected := getattr(usual, name)):
                raise UsageError(f"training.{name} is for classifiers", expected=expected, got=getattr(t, name))
        if recipe.augment.crop < 1:
            raise UsageError("augment.crop would cut words off a sentence", expected=1.0, got=recipe.augment.crop)
        if recipe.translate.freeze_encoder and not t.init:
            raise UsageError("a frozen encoder needs one that has learnt", hint="--init RUN")
        return recipe

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        """See `translation_plan`."""
        return translation_plan(store, recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> SentenceLearner:
        """See `Task`."""
        from last_edge.tasks.sentence_learner import SentenceLearner

        return SentenceLearner(plan, recipe, start=start)
