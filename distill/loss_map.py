"""The loss map: which stage of the student learns from which stage of a teacher, by which loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from last_edge.distill.feature_losses import attention_transfer, feature_mse, relational_angle, relational_distance
from last_edge.errors import UsageError
from last_edge.models.layers.precision import full_precision
from last_edge.tasks.config import DistillConfig, StageLoss

STAGE_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "feature_mse": feature_mse,
    "attention_transfer": attention_transfer,
    "rkd_distance": relational_distance,
    "rkd_angle": relational_angle,
}
PROJECTED = ("feature_mse",)


@dataclass(frozen=True, order=True)
class StageOf:
    """A stage of a teacher, both counted from 0."""

    teacher: int
    stage: int


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
