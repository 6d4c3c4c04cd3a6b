"""What a translator's run would do: `last-edge train --dry-run`."""

from __future__ import annotations

from typing import Any, cast

from last_edge.clips.store import ClipStore
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.sign2text import create_translator
from last_edge.tasks.config import Recipe
from last_edge.train.recipe import dump_recipe
from last_edge.train.schedule import epoch_rates, final_rate, hyperparameters, restarts
from last_edge.train.translate.plan import translation_plan
from last_edge.train.translate.run import check_translation, vocabulary_of
from last_edge.train.translate.start import model_options, read_start


def foresee_translation(store: ClipStore, recipe: Recipe) -> dict[str, Any]:
    """A run's sentence counts, sub-words, size, learning rate at each epoch, and the recipe as resolved."""
    check_translation(recipe)
    plan, training = translation_plan(store, recipe), recipe.training
    words = vocabulary_of(plan, recipe)
    start = read_start(recipe, plan.spec)
    model = create_translator(recipe.model.name, spec=plan.spec, tokens=len(words), **model_options(recipe))
    return {
        "clips": {"train": len(plan.train), "val": len(plan.val), "test": len(plan.test)},
        "val_subjects": list(plan.val_subjects),
        "sub_words": len(words),
        "params": sum(parameter.numel() for parameter in model.parameters()),
        **({} if start is None else {"init": str(start.into(cast(LandmarkModel, model)))}),
        "effective_batch": training.batch_size * training.gradient_accumulation_steps,
        "lr": [round(rate, 8) for rate in epoch_rates(training)],
        "final_lr": round(final_rate(training), 8),
        "restarts": restarts(training),
        "hyperparameters": hyperparameters(recipe),
        "recipe": dump_recipe(recipe),
    }
