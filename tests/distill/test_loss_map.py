"""The loss map: what it adds, what it trains, what it refuses, and that its projections stay out of the model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from last_edge.distill.cache import StageOf
from last_edge.distill.objective import STAGE_LOSSES, LossMap, stages_wanted
from last_edge.errors import UsageError
from last_edge.tasks import config
from last_edge.tasks.config import DistillConfig, StageLoss
from last_edge.train.optimizer import build_optimizer
from last_edge.train.recipe import load_recipe

STUDENT, TEACHER = (4, 6, 8), (5, 7, 9)


def stage_maps(widths: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(3, width, 8 // 2**stage, 5) for stage, width in enumerate(widths)]


def answers(maps: list[Tensor], teacher: int = 0) -> dict[StageOf, Tensor]:
    return {StageOf(teacher, stage): x for stage, x in enumerate(maps)}


def test_the_names_of_the_schema_are_those_of_the_losses() -> None:
    assert tuple(STAGE_LOSSES) == config.settings(StageLoss)["loss"].choices


def test_every_entry_adds_its_weighed_loss() -> None:
    entries = [StageLoss(2, 3, "feature_mse", 0.5), StageLoss(3, 3, "rkd_angle", 2.0), StageLoss(1, 1, "rkd_distance")]
    map_ = LossMap(entries, student=STUDENT, teachers=[TEACHER], seed=0)
    student, teacher = stage_maps(STUDENT), stage_maps(TEACHER)
    projected = map_.projections["0"](student[1])
    terms = [
        0.5 * STAGE_LOSSES["feature_mse"](projected, teacher[2]),
        2.0 * STAGE_LOSSES["rkd_angle"](student[2], teacher[2]),
        STAGE_LOSSES["rkd_distance"](student[0], teacher[0]),
    ]
    torch.testing.assert_close(map_(student, answers(teacher)), torch.stack(terms).sum())


def test_projections_go_where_channels_are_compared_and_have_no_bias() -> None:
    """48, 72, 96 to 128, 256, 384 channels: the 61 thousand weights of the planned small student."""
    entries = [StageLoss(stage, stage, "feature_mse") for stage in (1, 2, 3)]
    entries += [StageLoss(stage, stage, "attention_transfer") for stage in (1, 2, 3)]
    map_ = LossMap(entries, student=(48, 72, 96), teachers=[(128, 256, 384)], seed=0)
    assert sum(parameter.numel() for parameter in map_.parameters()) == 61_440


def projection(seed: int) -> Tensor:
    map_ = LossMap([StageLoss(1, 1, "feature_mse")], student=STUDENT, teachers=[TEACHER], seed=seed)
    return map_.projections["0"].weight  # type: ignore[return-value]


def test_projections_depend_on_the_seed_alone_and_draw_nothing_from_the_run() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = projection(1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one, projection(1)) and not torch.equal(one, projection(2))


def test_projections_decay_like_convolutions() -> None:
    map_ = LossMap([StageLoss(1, 1, "feature_mse")], student=STUDENT, teachers=[TEACHER], seed=0)
    optimizer = build_optimizer(nn.Linear(2, 2), config.TrainingConfig(), map_)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 1]


def test_several_teachers_are_told_apart() -> None:
    entries = [StageLoss(1, 2, "feature_mse", of=2), StageLoss(3, 3, "attention_transfer")]
    assert stages_wanted(DistillConfig(losses=entries)) == (StageOf(0, 2), StageOf(1, 1))
    map_ = LossMap(entries, student=STUDENT, teachers=[TEACHER, (10, 12, 14)], seed=0)
    assert map_.projections["0"].weight.shape == (12, 4, 1, 1)
    one, two = stage_maps(TEACHER), stage_maps((10, 12, 14))
    assert torch.isfinite(map_(stage_maps(STUDENT), answers(one) | answers(two, 1)))


def test_what_counts_nothing_is_not_wanted() -> None:
    entries = [StageLoss(1, 1, "feature_mse"), StageLoss(2, 2, "feature_mse", 0.0)]
    assert stages_wanted(DistillConfig(losses=entries)) == (StageOf(0, 0),)
    assert stages_wanted(DistillConfig(losses=entries, g=0.0)) == ()


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (StageLoss(4, 1, "feature_mse"), "the student has no such stage"),
        (StageLoss(1, 4, "feature_mse"), "the teacher has no such stage"),
        (StageLoss(1, 1, "feature_mse", of=2), "names a teacher that is not given"),
    ],
)
def test_stages_that_are_not_there_are_refused(entry: StageLoss, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        LossMap([entry], student=STUDENT, teachers=[TEACHER], seed=0)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("distill.losses=[{student: 1, teacher: 1, loss: feature_mes}]", "feature_mse"),
        ("distill.losses=[{student: 1, teacher: 1, los: feature_mse}]", "loss"),
        ("distill.losses=[{student: 1, loss: feature_mse}]", "lacks a key"),
        ("distill.losses=[{student: 0, teacher: 1, loss: feature_mse}]", "student of distill.losses must be above 0"),
        ("distill.losses=feature_mse", "list of mappings"),
        ("distill.losses=[{student: one, teacher: 1, loss: feature_mse}]", "wrong type"),
        ("distill.soft=dkt", "dkd"),
        ("distill.tau=0", "distill.tau"),
        ("distill.g=-1", "distill.g"),
        ("distill.teacher_weights=[1, 0]", "distill.teacher_weights"),
    ],
)
def test_faults_in_the_recipe_are_named(override: str, named: str) -> None:
    with pytest.raises(UsageError) as error:
        load_recipe(None, overrides=[override])
    assert named in error.value.render()


def test_a_loss_map_is_read_from_the_command_line() -> None:
    text = "distill.losses=[{student: 2, teacher: 3, loss: rkd_angle, weight: 0.1}]"
    assert load_recipe("kd_nano", overrides=[text]).distill.losses == [StageLoss(2, 3, "rkd_angle", 0.1)]
