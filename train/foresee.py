"""What a run would do: `last-edge train --dry-run`."""

from __future__ import annotations

from typing import Any

from last_edge.clips.store import ClipStore
from last_edge.tasks import task_of
from last_edge.tasks.config import Recipe
from last_edge.tasks.task import Learner, Task
from last_edge.train.recipe import dump_recipe
from last_edge.train.schedule import epoch_rates, final_rate, hyperparameters, restarts
from last_edge.train.start import recipe_start


def foresee(store: ClipStore, recipe: Recipe, *, task: Task | None = None) -> dict[str, Any]:
    """What a training by this recipe would do, see `facts_of`. task: that of the recipe's model unless named."""
    task = task or task_of(recipe.model.name)
    recipe = task.fitted(recipe, store)
    return facts_of(task.learner(task.plan(store, recipe), recipe, start=recipe_start(recipe)), recipe)


def facts_of(learner: Learner, recipe: Recipe) -> dict[str, Any]:
    """A run's clip counts, validation subjects, start, learning rate at each epoch, and the recipe as resolved."""
    plan, training, model = learner.plan, recipe.training, learner.model()
    start = learner.begin(model)
    return {
        "clips": {"train": len(plan.train), "val": len(plan.val), "test": len(plan.test)},
        "val_subjects": list(plan.val_subjects),
        **learner.facts,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        **({} if start is None else {"init": str(start)}),
        "effective_batch": training.batch_size * training.gradient_accumulation_steps,
        "lr": [round(rate, 8) for rate in epoch_rates(training)],
        "final_lr": round(final_rate(training), 8),
        "restarts": restarts(training),
        "hyperparameters": hyperparameters(recipe),
        "recipe": dump_recipe(recipe),
    }
