"""What a training run is asked for: recipe, store, place; its clips, how they fall into steps, its plain objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from last_edge.data.augment import Augment
from last_edge.data.dataset import ClipDataset, epoch_order
from last_edge.data.device_clips import DeviceClips
from last_edge.errors import UsageError
from last_edge.tasks.config import AugmentConfig, Recipe
from last_edge.tasks.losses import class_weights
from last_edge.tasks.objective import CrossEntropy, Objective
from last_edge.tasks.plan import Plan
from last_edge.tasks.second_input import FeatureCrossEntropy, open_second_input, reads_features
from last_edge.train.processes import Processes

Row = dict[str, float]
Report = Callable[[Row, int], None]
MakeObjective = Callable[[Recipe, Plan, str], Objective]


@dataclass(frozen=True)
class Views:
    """Augmentations that several runs share: `count` of each clip, drawn by `seed`."""

    count: int
    seed: int


@dataclass(frozen=True)
class Request:
    """What to train and where.

    extra: facts that make two runs different beyond the recipe, one a line, such as each teacher. views: fixed
    augmentations of each clip that the epochs cycle through, drawn by their own seed; None for new ones every epoch,
    drawn by the recipe's. test: whether the test split is looked at in the end; False where runs are compared and one
    is to be chosen.
    """

    recipe: Recipe
    store: Path
    out: Path
    device: str = "cpu"
    force: bool = False
    extra: str = ""
    views: Views | None = None
    test: bool = True


def cross_entropy(recipe: Recipe, plan: Plan, device: str) -> CrossEntropy:
    """The plain objective of `last-edge train`; of a model with a second input the one that brings it."""
    t, labels = recipe.training, plan.store.index.label[plan.train]
    weights = torch.from_numpy(class_weights(labels, len(plan.store.labels)))
    kind = (
        partial(FeatureCrossEntropy, open_second_input(recipe, plan.store)) if reads_features(recipe) else CrossEntropy
    )
    return kind(
        smoothing=t.label_smoothing, noise=recipe.augment, clamp=t.input_clamp, ib_weight=t.ib_loss_weight,
        gamma=t.focal_gamma if t.loss == "focal" else 0.0, weights=weights if t.class_weights == "balanced" else None,
        weights_from=t.class_weights_from,
    )  # fmt: skip


def silent(row: Row, epochs: int) -> None:
    """A report that tells nobody."""


def training_clips(
    plan: Plan, recipe: Recipe, views: Views | None = None, *, device: str = "cpu"
) -> ClipDataset | DeviceClips:
    """The training clips of a plan, augmented as the recipe says and where it says.

    `UsageError` for fixed views of clips that are augmented on the device, where each batch has its own draw.
    """
    seed, count = (recipe.seed, 0) if views is None else (views.seed, views.count)
    if recipe.training.augment_on == "device":
        if count:
            hint = "--set training.augment_on=processor, or --set distill.cache_views=0"
            raise UsageError("fixed views are drawn by the processor", where="training.augment_on", hint=hint)
        return DeviceClips(
            plan.store, plan.train, spec=plan.spec, ranges=ranges(recipe.augment), seed=seed, device=device
        )
    return ClipDataset(plan.store, plan.train, spec=plan.spec, ranges=ranges(recipe.augment), seed=seed, views=count)


def ranges(config: AugmentConfig) -> Augment:
    """The part of the augmentation that changes points; noise is added to the streams."""
    names = ("rotation_deg", "tilt_deg", "scale", "shear", "crop", "warp", "mirror", "mask", "bones")
    return Augment(**{name: getattr(config, name) for name in names})


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
