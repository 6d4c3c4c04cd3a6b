"""The distillation objective: labels, the teachers' answers and their stages, weighed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from last_edge.distill.losses import (
    attention_transfer,
    correlation_loss,
    decoupled_loss,
    ensemble_logits,
    feature_mse,
    relational_angle,
    relational_distance,
    soft_target_loss,
)
from last_edge.distill.teachers import Source, StageOf
from last_edge.errors import UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.attention import full_precision
from last_edge.tasks.config import DistillConfig, StageLoss
from last_edge.tasks.objective import CrossEntropy

STAGE_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "feature_mse": feature_mse,
    "attention_transfer": attention_transfer,
    "rkd_distance": relational_distance,
    "rkd_angle": relational_angle,
}
PROJECTED = ("feature_mse",)


def entries_in_use(config: DistillConfig) -> tuple[StageLoss, ...]:
    """The entries that add to the loss."""
    return tuple(entry for entry in config.losses if config.g and entry.weight)


def stages_wanted(config: DistillConfig) -> tuple[StageOf, ...]:
    """The teachers' stages that the map reads, in order."""
    return tuple(sorted({source_of(entry) for entry in entries_in_use(config)}))


def source_of(entry: StageLoss) -> StageOf:
    """Where an entry's target comes from."""
    return StageOf(entry.of - 1, entry.teacher - 1)


class LossMap(nn.Module):
    """Sum of weight * loss over the entries. A student's map passes a 1x1 projection to the teacher's width first,
    where the loss compares channel by channel; the projections are trained and in the end thrown away.

    student: channels by stage. teachers: the same of every teacher. seed: of the projections' first weights.
    """

    def __init__(
        self, entries: Sequence[StageLoss], *, student: Sequence[int], teachers: Sequence[Sequence[int]], seed: int
    ) -> None:
        super().__init__()
        check_entries(entries, student=student, teachers=teachers)
        self.entries = tuple(entries)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projections = nn.ModuleDict(
                {
                    str(number): nn.Conv2d(student[e.student - 1], teachers[e.of - 1][e.teacher - 1], 1, bias=False)
                    for number, e in enumerate(self.entries)
                    if e.loss in PROJECTED
                }
            )

    def forward(self, student: Sequence[Tensor], teacher: Mapping[StageOf, Tensor]) -> Tensor:
        """Maps (N, C, T, V) of the student's stages and of those of the teachers that are wanted -> a scalar."""
        with full_precision(student[0]):
            return torch.stack([self._term(number, student, teacher) for number in range(len(self.entries))]).sum()

    def _term(self, number: int, student: Sequence[Tensor], teacher: Mapping[StageOf, Tensor]) -> Tensor:
        entry = self.entries[number]
        got = student[entry.student - 1].float()
        if str(number) in self.projections:
            got = self.projections[str(number)](got)
        return entry.weight * STAGE_LOSSES[entry.loss](got, teacher[source_of(entry)])


def check_entries(entries: Sequence[StageLoss], *, student: Sequence[int], teachers: Sequence[Sequence[int]]) -> None:
    """`UsageError` where an entry names a stage or a teacher that is not there."""
    for entry in entries:
        if entry.of > len(teachers):
            raise UsageError("the loss map names a teacher that is not given", expected=len(teachers), got=entry.of)
        for who, stage, widths in (
            ("student", entry.student, student),
            ("teacher", entry.teacher, teachers[entry.of - 1]),
        ):
            if stage > len(widths):
                expected = f"1 to {len(widths)}" if widths else "a model with stages"
                raise UsageError(f"the {who} has no such stage", where="distill.losses", expected=expected, got=stage)


class Distillation:
    """a * CE(student, targets) + b * soft(student, teachers) + g * the loss map, on the same augmented points.

    The student's forward pass is one, whether its stages are wanted or not. `parts` holds the three terms of the last
    loss before their weights. See `last_edge.tasks.objective.HelpedObjective` for the rest.
    """

    def __init__(
        self, source: Source, plain: CrossEntropy, config: DistillConfig, *, loss_map: LossMap | None = None
    ) -> None:
        self.source, self.plain, self.config = source, plain, config
        self.loss_map = loss_map
        self.helpers: nn.Module = nn.Module() if loss_map is None else loss_map
        self.parts: dict[str, Tensor] = {}
        self._clips, self._view = torch.zeros(0, dtype=torch.int64), 0
        self._weights = torch.zeros(0)

    def begin_batch(self, clips: Tensor, view: int) -> None:
        """Remember which clips and which of their augmentations come next."""
        self._clips, self._view = clips, view

    def at(self, share: float) -> None:
        """See `last_edge.tasks.objective.TimedObjective`."""
        self.plain.at(share)

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `last_edge.tasks.objective.Objective`."""
        answers = self.source(points, self._clips, self._view)
        streams = self.plain.streams(model, points)
        maps, logits = (
            model.features_and_logits(streams) if self.loss_map is not None else ([], model.from_streams(streams))
        )
        hard = self.plain.loss(model, logits, targets)
        soft = self.soft(logits, answers.logits, targets)
        loss = self.config.a * hard + self.config.b * soft
        self.parts = {"hard": hard.detach(), "soft": soft.detach()}
        if self.loss_map is not None:
            stages = self.loss_map(maps, answers.maps)
            loss, self.parts["stages"] = loss + self.config.g * stages, stages.detach()
        return loss, logits

    def soft(self, logits: Tensor, teachers: Tensor, targets: Tensor) -> Tensor:
        """What the student's logits (N, K) owe to the teachers' (N, E, K), by the recipe's `distill.soft`."""
        c, count = self.config, teachers.shape[1]
        if len(self._weights) != count or self._weights.device != teachers.device:
            self._weights = torch.tensor(c.teacher_weights or [1.0] * count, device=teachers.device)
        taught = ensemble_logits(teachers, self._weights, c.tau)
        if c.soft == "dkd":
            return decoupled_loss(logits, taught, targets.argmax(1), c.tau, alpha=c.dkd_alpha, beta=c.dkd_beta)
        if c.soft == "dist":
            return correlation_loss(logits, taught, c.tau, beta=c.dist_beta, gamma=c.dist_gamma)
        return soft_target_loss(logits, taught, c.tau)
