"""Distilling a trained run into a smaller model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from last_edge.distill.objective import Distillation
from last_edge.errors import InputError
from last_edge.files import sha256_of
from last_edge.train.checkpoint import Checkpoint, load_checkpoint
from last_edge.train.config import Recipe
from last_edge.train.objective import CrossEntropy, Objective
from last_edge.train.plan import Plan
from last_edge.train.run import Report, Request, run_training, silent


def run_distillation(request: Request, teacher: Path, *, report: Report = silent) -> dict[str, Any]:
    """Train the recipe's model with the help of `teacher` (a run or checkpoint). Returns final.json's content.

    Raises `InputError` when the teacher reads another window, layout or label set than the student.
    """
    checkpoint = load_checkpoint(teacher)

    def make_objective(recipe: Recipe, plan: Plan, device: str) -> Objective:
        check_teacher(checkpoint, plan)
        t = recipe.training
        plain = CrossEntropy(
            smoothing=t.label_smoothing, noise=recipe.augment, clamp=t.input_clamp, ib_weight=t.ib_loss_weight
        )
        return Distillation(checkpoint.model.to(device), plain, recipe.distill)

    identity = sha256_of(checkpoint.path / "model.safetensors")
    return run_training(
        dataclasses.replace(request, extra=f"teacher {identity}"), make_objective=make_objective, report=report
    )


def check_teacher(teacher: Checkpoint, plan: Plan) -> None:
    """`InputError` unless the teacher takes the very points that the student takes, and names the same classes."""
    if teacher.labels != plan.store.labels:
        raise InputError(
            "teacher knows other labels", where=teacher.path, expected=plan.store.labels, got=teacher.labels
        )
    if teacher.spec.layout != plan.spec.layout or teacher.spec.shape != plan.spec.shape:
        expected = f"{plan.spec.layout.name} {plan.spec.shape}"
        got = f"{teacher.spec.layout.name} {teacher.spec.shape}"
        raise InputError("teacher takes other points", where=teacher.path, expected=expected, got=got)
