"""What a training run is asked for: recipe, store, place; how its clips fall into steps; and what it would do, in
numbers and words: `last-edge train --dry-run`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.clips.store import ClipStore
from last_edge.data.dataset import epoch_order
from last_edge.errors import UsageError
from last_edge.tasks.config import Recipe, TrainingConfig
from last_edge.tasks.objective import Objective
from last_edge.tasks.plan import Plan
from last_edge.tasks.registry import task_of
from last_edge.tasks.task import Learner, Row, Task, Views
from last_edge.train.checkpoint import recipe_start
from last_edge.train.optimizer import epoch_rates, final_rate, restarts, warmup_length, warmup_start
from last_edge.train.processes import Processes
from last_edge.train.recipe import dump_recipe

Report = Callable[[Row, int], None]
MakeObjective = Callable[[Recipe, Plan, str], Objective]


@dataclass(frozen=True)
class Request:
    """What to train and where.

    extra: facts that make two runs different beyond the recipe, one a line, such as each teacher. views: fixed
    augmentations of each clip that the epochs cycle through, drawn by their own seed; None for new ones every epoch,
    drawn by the recipe's. test: whether the test split is looked at in the end; False where runs are compared and one
    is to be chosen. may_change: an unfinished run, or a finished one with more epochs, goes on with other rates,
    losses, limits or augmentation; that is written down. Otherwise it is refused.
    """

    recipe: Recipe
    store: Path
    out: Path
    device: str = "cpu"
    force: bool = False
    extra: str = ""
    views: Views | None = None
    test: bool = True
    may_change: bool = False


def silent(row: Row, epochs: int) -> None:
    """A report that tells nobody."""


@dataclass(frozen=True)
class Steps:
    """Batches of `size` clips out of `clips`, dealt to the processes in turn; `per_epoch` for each process."""

    clips: int
    size: int
    per_epoch: int
    seed: int
    processes: Processes

    @classmethod
    def plan(cls, clips: int, recipe: Recipe, processes: Processes) -> Steps:
        """Steps of a recipe; `UsageError` where there are fewer clips than the processes take in one step."""
        size = recipe.training.batch_size
        together = size * processes.count
        if processes.count > 1 and clips < together:
            raise UsageError("too few training clips for this many processes", expected=f">= {together}", got=clips)
        return cls(clips, size, max(clips // together, 1), recipe.seed, processes)

    def left(self, step: int) -> list[list[int]]:
        """This process's batches of the epoch in which `step` falls, from it on; without the last, incomplete one."""
        epoch, done = divmod(step, self.per_epoch)
        order, count = epoch_order(self.clips, seed=self.seed, epoch=epoch), self.processes.count
        places = range(done * count + self.processes.rank, self.per_epoch * count, count)
        return [order[place * self.size : (place + 1) * self.size].tolist() for place in places]


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


BETAS = "betas 0.9, 0.999"
CURVES_IN_WORDS = {
    "cosine_warmup": "one cosine {lr} -> {min_lr} over {rest} epochs",
    "cosine_warmup_epochs": "one cosine {lr} -> {min_lr} over {rest} epochs, a step each",
    "cosine_warmup_restart": "cosines {lr} -> {min_lr} that restart, the first after {period} epochs",
    "multistep_warmup": "{lr}, times {gamma} at epochs {milestones}",
}


def hyperparameters(recipe: Recipe, *, device: str = "cpu") -> list[str]:
    """One line a value, numbers as they count on that device once everything is resolved."""
    t = recipe.training
    accumulated = f", {t.gradient_accumulation_steps} to an optimiser step" if t.gradient_accumulation_steps > 1 else ""
    dropout = recipe.model.options.get("dropout", "the model's own")
    clipping = f"to norm {t.gradient_clip:g}" if t.gradient_clip else "off"
    return [
        f"batch size: {t.batch_size}{accumulated}",
        f"early stopping: {_patience(t)}",
        f"loss: {_loss(t)}",
        f"label smoothing: {t.label_smoothing:g}",
        f"gradient clipping: {clipping}",
        f"dropout: {dropout}",
        f"mixed precision: {_amp(t, device)}",
        f"optimiser: {_optimizer(t)}",
        f"schedule: {_schedule(t)}",
    ]


def _amp(t: TrainingConfig, device: str) -> str:
    if t.amp == "auto" and not device.startswith("cuda"):
        return "off: auto is fp16 on a GPU alone; --set training.amp=bf16 where the processor has it"
    return t.amp


def _patience(t: TrainingConfig) -> str:
    if not t.patience:
        return f"off, all {t.epochs} epochs"
    return f"after {t.patience} epochs without a better validation score, at most {t.epochs}"


def _loss(t: TrainingConfig) -> str:
    name = f"focal, gamma {t.focal_gamma:g}" if t.loss == "focal" else "cross entropy"
    late = f" from {t.class_weights_from:.0%} of the run on" if t.class_weights_from else ""
    by = {"balanced": "their clips", "softened": "the square root of their clips"}.get(t.class_weights)
    return f"{name}, classes weighted by {by}{late}" if by else name


def _optimizer(t: TrainingConfig) -> str:
    momentum = f"momentum {t.momentum:g}{', nesterov' if t.nesterov else ''}"
    name, moments = ("AdamW", BETAS) if t.optimizer == "adamw" else ("SGD", momentum)
    return f"{name}, rate {t.lr:g}, weight decay {t.weight_decay:g}, {moments}"


def _schedule(t: TrainingConfig) -> str:
    if t.scheduler == "constant":
        return f"constant {t.lr:g}"
    length = warmup_length(t)
    rest = CURVES_IN_WORDS[t.scheduler].format(
        lr=f"{t.lr:g}", min_lr=f"{t.min_lr:g}", rest=t.epochs - length, period=t.restart_period, gamma=t.gamma,
        milestones=", ".join(map(str, t.milestones)),
    )  # fmt: skip
    if not length:
        return f"no warm-up, {rest}"
    share = " (a tenth of the run, at least 10)" if t.warmup_epochs < 0 else ""
    return f"warm-up {warmup_start(t):g} -> {t.lr:g} over {length} epochs{share}, then {rest}"
