"""A pre-training run: the run of a training, on clips with or without labels, that leaves a trunk."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, plain_batch
from last_edge.errors import InputError
from last_edge.inputs.features import LANDMARKS
from last_edge.models import create_model
from last_edge.tasks.config import Recipe
from last_edge.tasks.objective import Objective
from last_edge.tasks.plan import Plan, held_out, input_spec
from last_edge.tasks.pretraining import MaskCLR
from last_edge.train.checkpoint import ModelCard
from last_edge.train.evaluate import BATCH
from last_edge.train.request import Report, Request, Row, silent
from last_edge.train.run import Run, run_training
from last_edge.train.trunk import trunk_of

SMALLEST_HEAD = 2


def run_pretraining(request: Request, *, report: Report = silent) -> dict[str, Any]:
    """Pre-train, or continue the same run. Returns the content of final.json, which knows no test split."""
    return run_training(request, make_objective=maskclr, report=report, kind=PretrainRun)


def maskclr(recipe: Recipe, plan: Plan, device: str) -> MaskCLR:
    """The objective of `last-edge pretrain maskclr`; its own weights are drawn by the recipe's seed."""
    torch.manual_seed(recipe.seed)
    model = create_model(recipe.model.name, spec=plan.spec, classes=SMALLEST_HEAD, **recipe.model.options)
    return MaskCLR(model, recipe.pretrain, clamp=recipe.training.input_clamp)


def pretrain_plan(store: ClipStore, recipe: Recipe) -> Plan:
    """All clips that are neither of the test split nor validation's, whatever their labels.

    Validation is the store's own, or the training subjects that a training by this recipe holds out too. `InputError`
    when nothing is left to learn from.
    """
    train = np.flatnonzero(np.isin(store.index.split.astype(str), ("train", ""))).astype(np.int64)
    own_val = store.select(split="val")
    held = () if len(own_val) and not recipe.validation.subjects else held_out(store, train, recipe)
    inside = np.isin(store.index.subject[train].astype(str), held)
    if not len(train[~inside]):
        splits = sorted(set(store.index.split.tolist()))
        raise InputError("no clips to pre-train on", where=store.path, expected="split 'train' or none", got=splits)
    spec = input_spec(store, recipe.input)
    check_points(store, spec)
    nobody = np.zeros(0, np.int64)
    return Plan(store, spec, train[~inside], np.concatenate([own_val, train[inside]]), nobody, held)


class PretrainRun(Run):
    """A pre-training in progress. Validation is the loss on held-out clips, under the same masks every epoch."""

    def make_plan(self) -> Plan:
        """See `pretrain_plan`."""
        return pretrain_plan(self.store, self.recipe)

    def classes(self) -> int:
        """A head is there because a model has one; it learns nothing and no checkpoint holds it."""
        return SMALLEST_HEAD

    def card(self) -> ModelCard:
        """model.json of a trunk."""
        return dataclasses.replace(super().card(), classes=0, trunk_only=True)

    def learned(self, totals: dict[str, float]) -> Row:
        """The loss and its terms; there are no labels to be right about."""
        return {name: value for name, value in super().learned(totals).items() if name != "train_top1"}

    @torch.no_grad()
    def validate(self) -> Row:
        """Loss and terms on the validation clips, not augmented but for the views."""
        if not len(self.plan.val):
            return {}
        sums: dict[str, float] = {}
        with self.trainer.deployed_weights() as model:
            model.eval()
            torch.manual_seed(self.recipe.seed)
            for start in range(0, len(self.plan.val), BATCH):
                for name, value in self._losses(model, self.plan.val[start : start + BATCH]).items():
                    sums[name] = sums.get(name, 0.0) + value
            model.train()
        return {f"val_{name}": value / len(self.plan.val) for name, value in sums.items()}

    def _losses(self, model: Any, clips: Any) -> dict[str, float]:
        """The loss and its terms of a batch, times its clips."""
        objective: Objective = self.trainer.objective
        points = torch.from_numpy(plain_batch(self.store, clips, self.plan.spec)[LANDMARKS]).to(self.request.device)
        loss, _ = objective(model, points, torch.zeros(0))
        parts = getattr(objective, "parts", {})
        return {name: float(value) * len(clips) for name, value in {"loss": loss, **parts}.items()}

    def facts(self) -> dict[str, Any]:
        """As of any run, of the trunk alone."""
        size = sum(p.numel() for p in trunk_of(dict(self.trainer.model.named_parameters())).values())
        return super().facts() | {"params": size, "trunk_only": True}

    def measure(self) -> dict[str, Any]:
        """The chosen epoch's row: what is known of a trunk before anything is asked of it."""
        epoch = int(self.trainer.progress.best.split("-")[1])
        return {"pretrain": self.trainer.progress.history[epoch - 1]}
