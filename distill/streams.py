"""Distilling into a network for streams: teachers that look further ahead, or that see whole clips, answer each frame.

A network for streams that answers late enough sees as much of what follows as of what was: it is its student's twin
without causality. A classifier of clips answers about each gesture that a crop shows whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.data.stream_crops import ELAPSED
from last_edge.distill.cache import points_for
from last_edge.errors import InputError, UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.names import is_background
from last_edge.tasks.config import DistillConfig, Recipe
from last_edge.tasks.plan import Plan
from last_edge.tasks.stream.frames import stream_labels
from last_edge.tasks.stream.learner import FrameObjective, frame_weights, late
from last_edge.train.checkpoint import Checkpoint


class StreamTeachers:
    """Frozen teachers of a network for streams -> what each frame of a crop shows, as they see it.

    A teacher of streams answers every frame but the last ones, whose answers would come behind the crop; one of clips
    answers the frames of gestures that begin and end in the crop. All that answer a frame count alike.
    """

    def __init__(self, models: Sequence[nn.Module], places: Sequence[Tensor], *, classes: int, tau: float) -> None:
        """places: of each classifier of clips, the student's class of each of its logits, -1 for none."""
        self.models = [model.eval().requires_grad_(False) for model in models]
        self.places, self.classes, self.tau = places, classes, tau

    @torch.no_grad()
    def __call__(self, points: Tensor, targets: Tensor) -> Tensor:
        """Points (N, T, V, C) and truth (N, T, 3) -> probabilities at `tau`, (N, T, K); all 0 where nobody answers."""
        told = torch.zeros(*points.shape[:2], self.classes, device=points.device)
        for model, places in zip(self.models, self.places, strict=True):
            if isinstance(model, LastLiteStream):
                logits = model(points).logits.float()[:, model.delay :]
                told[:, : logits.shape[1]] += torch.softmax(logits / self.tau, -1)
            else:
                self._of_gestures(model, places.to(points.device), points, targets, told)
        return told / told.sum(-1, keepdim=True).clamp(min=1e-6)

    def _of_gestures(self, model: nn.Module, places: Tensor, points: Tensor, targets: Tensor, told: Tensor) -> None:
        """Add what a classifier of clips says of each whole gesture to all of its frames."""
        assert isinstance(model, LandmarkModel)
        spans = [(row, *span) for row in range(len(points)) for span in whole_gestures(targets[row])]
        if not spans:
            return
        clips = [points_for(model, points[row : row + 1, first : last + 1]) for row, first, last in spans]
        logits = model(torch.cat(clips)).float()[:, places >= 0]
        shares = torch.softmax(logits / self.tau, -1)
        for (row, first, last), share in zip(spans, shares, strict=True):
            told[row, first : last + 1, places[places >= 0]] += share


def whole_gestures(truth: Tensor) -> Iterator[tuple[int, int]]:
    """First and last frames of the gestures of a crop (T, 3) whose beginning and end it shows."""
    first, before = None, 0.0
    for frame, seconds in enumerate(truth[:, ELAPSED].tolist()):
        if seconds < before or before == 0 < seconds:  # one is over, or another begins; a slow crop repeats frames
            if first is not None:
                yield first, frame - 1
            first = frame if seconds > 0 else None
        before = seconds


class StreamDistillation:
    """a * the label's cross entropy + b * tau^2 * KL(teachers || student) of each frame that a teacher answers.

    Of the others the label's alone, and all else as labels teach it; frames weigh as in `FrameObjective`.
    """

    def __init__(self, teachers: StreamTeachers, plain: FrameObjective, config: DistillConfig) -> None:
        self.teachers, self.plain, self.config = teachers, plain, config
        self.parts: dict[str, Tensor] = {}

    def __call__(self, model: Any, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and logits (N, T, K)."""
        answer = self.plain.answer(model, points)
        wanted, taught = late(targets, model.delay), late(self.teachers(points, targets), model.delay)
        logits, tau = answer.logits.float(), self.config.tau
        share = torch.where(taught.sum(-1) > 0, self.config.a, 1.0)
        plain = self.plain.loss(logits, answer.elapsed.float(), wanted, share)
        apart = torch.special.xlogy(taught, taught) - taught * torch.log_softmax(logits / tau, -1)
        weight = frame_weights(wanted)
        soft = tau * tau * (apart.sum(-1) * weight).sum() / weight.sum().clamp(min=1e-6)
        self.parts = {**self.plain.parts, "soft": soft.detach()}
        return plain + self.config.b * soft, answer.logits


def stream_distillation(
    teachers: Sequence[Checkpoint], plain: FrameObjective, recipe: Recipe, plan: Plan, device: str
) -> StreamDistillation:
    """The objective of a student for streams; raises what `check_stream_teachers` raises."""
    labels = stream_labels(plan.store)
    check_stream_teachers(teachers, recipe, plan)
    places = [torch.tensor([labels.index(name) if not is_background(name) else -1 for name in teacher.labels])
              for teacher in teachers]  # fmt: skip
    models: list[nn.Module] = [teacher.model.to(device) for teacher in teachers]
    asked = StreamTeachers(models, places, classes=len(labels), tau=recipe.distill.tau)
    return StreamDistillation(asked, plain, recipe.distill)


def check_stream_recipe(recipe: Recipe) -> None:
    """`UsageError` for settings of a distillation that only clips can follow."""
    usual, wanted = DistillConfig(), recipe.distill
    for name in ("soft", "losses", "teacher_weights", "cache", "cache_views", "cache_features"):
        if (got := getattr(wanted, name)) != (expected := getattr(usual, name)):
            hint = "--recipe shrec21_stream_kd has values for streams"
            raise UsageError(f"distill.{name} is for classifiers of clips", expected=expected, got=got, hint=hint)


def check_stream_teachers(teachers: Sequence[Checkpoint], recipe: Recipe, plan: Plan) -> None:
    """`InputError` unless every teacher reads the student's points at its rate and names its gestures."""
    from last_edge.models.registry import create_streamer, resolve_name

    labels = stream_labels(plan.store)
    with torch.device("meta"):
        student = create_streamer(
            resolve_name(recipe.model.name), spec=plan.spec, classes=len(labels), **recipe.model.options
        )
    for teacher in teachers:
        if teacher.spec.layout != plan.spec.layout or teacher.spec.channels != plan.spec.channels:
            expected = f"{plan.spec.layout.name}, {plan.spec.channels} axes"
            got = f"{teacher.spec.layout.name}, {teacher.spec.channels} axes"
            raise InputError("teacher reads other points", where=teacher.path, expected=expected, got=got)
        if isinstance(teacher.model, LastLiteStream):
            if teacher.labels != labels:
                raise InputError("teacher knows other labels", where=teacher.path, expected=labels, got=teacher.labels)
            if teacher.model.rate != student.rate:
                expected, got = f"{student.rate:g} frames a second", f"{teacher.model.rate:g}"
                raise InputError("teacher counts in other frames", where=teacher.path, expected=expected, got=got)
        elif {name for name in teacher.labels if not is_background(name)} != set(labels[:-1]):
            raise InputError("teacher knows other labels", where=teacher.path, expected=labels, got=teacher.labels)
        elif teacher.model.features is not None:
            raise InputError("teacher reads features", where=teacher.path, expected="landmarks alone",
                             got=teacher.model.features.name)  # fmt: skip
