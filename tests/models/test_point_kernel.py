"""The point kernel: solved from clips, gaps bridged, the deployed form, far clips, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.point_kernel import SHARES, Options, PointKernelBody, SignerFeatures
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tasks.class_learner import ClassLearner, predict
from last_edge.tasks.plan import make_plan
from last_edge.tasks.start import Start
from last_edge.train.recipe import load_recipe

SPEC = InputSpec(get_layout("mediapipe_hand21"), frames=24, scale="limb", streams=("joint",))
CLASSES, TAKES = 3, 6


def takes(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Clips (18, 24, 21, 3) of three ways of one hand, and their classes."""
    random = torch.Generator().manual_seed(seed)
    shape = torch.randn(21, 3, generator=torch.Generator().manual_seed(9)) * 0.05
    time = torch.linspace(0, 1, SPEC.frames)[:, None]
    ways = [torch.sin(6 * time), time * 2 - 1, 1 - 2 * time]
    clips = []
    for way in ways:
        for _ in range(TAKES):
            points = shape.repeat(SPEC.frames, 1, 1) + 0.004 * torch.randn(24, 21, 3, generator=random)
            points[..., 0] += 0.3 * way
            clips.append(points)
    return torch.stack(clips), torch.arange(CLASSES).repeat_interleave(TAKES)


@pytest.fixture(scope="module")
def model() -> LandmarkModel:
    points, labels = takes()
    made = create_model("point_kernel", spec=SPEC, classes=CLASSES, centres=len(points)).eval()
    assert isinstance(made.body, PointKernelBody)
    made.body.solve(made.front(points), labels, silent=torch.zeros(len(points), dtype=torch.bool))
    return made


@torch.no_grad()
def test_weights_follow_from_the_clips_and_know_others(model: LandmarkModel) -> None:
    fresh, labels = takes(seed=1)
    assert (model(takes()[0]).argmax(1) == labels).all() and (model(fresh).argmax(1) == labels).all()


@torch.no_grad()
def test_the_weights_are_those_of_ridge_regression(model: LandmarkModel) -> None:
    points, labels = takes()
    body = model.body
    assert isinstance(body, PointKernelBody)
    standard = body.standard(model.front(points)).double()
    kernel = torch.exp(-torch.cdist(standard, standard).square())
    wanted = torch.nn.functional.one_hot(labels).double() - 1 / CLASSES
    solved = torch.linalg.solve(kernel + body.options.ridge * torch.eye(len(points)), wanted)
    expected = body.options.gain * kernel @ solved
    torch.testing.assert_close(model(points).double(), expected, atol=1e-3, rtol=0)


@torch.no_grad()
def test_clips_without_a_gesture_are_fitted_less_closely_and_their_class_is_given_less(model: LandmarkModel) -> None:
    points, labels = takes()
    quiet = create_model("point_kernel", spec=SPEC, classes=CLASSES, centres=len(points)).eval()
    body = quiet.body
    assert isinstance(body, PointKernelBody)
    body.solve(quiet.front(points), labels, silent=labels == CLASSES - 1)
    options = body.options
    assert body.head.bias.tolist() == [0, 0, -options.reluctance]
    own = [made(points)[labels == CLASSES - 1, -1].mean() for made in (model, quiet)]
    assert own[1] < own[0] - options.reluctance


@torch.no_grad()
def test_what_is_far_from_every_clip_activates_nothing(model: LandmarkModel) -> None:
    strange = takes()[0][:2] * torch.linspace(-8, 8, 21)[:, None]
    assert model(strange).abs().max() < 0.01


@torch.no_grad()
def test_a_gap_is_bridged(model: LandmarkModel) -> None:
    whole, labels = takes(seed=2)
    broken = whole.clone()
    broken[:, 9:13] = torch.nan
    assert (model(broken).argmax(1) == labels).all()
    assert torch.isfinite(model(torch.full_like(whole, torch.nan))).all()


@torch.no_grad()
def test_the_deployed_form_computes_the_same(model: LandmarkModel) -> None:
    points, _ = takes(seed=3)
    torch.testing.assert_close(model.deployed()(points), model(points), atol=2e-5, rtol=0)


def signs(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Clips (18, 24, 75, 3) of a body that opens its right hand, lifts it, or lifts its left one; the other is missing.
    Each stands elsewhere in the picture, in another size."""
    random = torch.Generator().manual_seed(seed)
    body = torch.randn(75, 3, generator=torch.Generator().manual_seed(9)) * 0.05
    body[11, 0], body[12, 0] = 0.2, -0.2
    body[33:54] += torch.tensor([0.3, 0.4, 0.0])
    body[54:] += torch.tensor([-0.3, 0.4, 0.0])
    time = torch.linspace(0, 1, SPEC.frames)[:, None]
    clips = []
    for sign in range(CLASSES):
        for _ in range(TAKES):
            points = body.repeat(SPEC.frames, 1, 1) + 0.002 * torch.randn(24, 75, 3, generator=random)
            hand = slice(54, 75) if sign < 2 else slice(33, 54)
            if sign == 0:
                points[:, 54:] = points[:, 54:55] + (points[:, 54:] - points[:, 54:55]) * (0.3 + time)[..., None]
            else:
                points[:, hand, 1] -= 0.5 * time
            other = slice(33, 54) if sign < 2 else slice(54, 75)
            points[:, other] = torch.nan
            size, place = 0.5 + torch.rand(1, generator=random), torch.rand(3, generator=random)
            clips.append(points * size + place)
    return torch.stack(clips), torch.arange(CLASSES).repeat_interleave(TAKES)


SIGNER = InputSpec(get_layout("mediapipe_holistic75"), frames=24, centre="frame", scale="frame", streams=("joint",))


@torch.no_grad()
def test_signs_are_told_by_either_hand_wherever_the_body_stands() -> None:
    points, labels = signs()
    made = create_model("point_kernel", spec=SIGNER, classes=CLASSES, centres=len(points), signer=True).eval()
    assert isinstance(made.body, PointKernelBody)
    made.body.solve(made.front(points), labels, silent=torch.zeros(len(points), dtype=torch.bool))
    fresh, _ = signs(seed=1)
    assert (made(fresh).argmax(1) == labels).all()
    broken = fresh.clone()
    broken[:, 9:12, 33:] = torch.nan
    assert (made(broken).argmax(1) == labels).all()
    torch.testing.assert_close(made.deployed()(fresh), made(fresh), atol=2e-5, rtol=0)
    assert torch.isfinite(made(torch.full_like(fresh, torch.nan))).all()


def test_each_kind_of_a_signers_features_has_its_share() -> None:
    features = SignerFeatures(SIGNER, Options(signer=True))
    assert len(features.share) == features.width == 8 * (26 + 2 * (60 + 1 + 2) + 30)
    assert features.share.square().sum().item() == pytest.approx(sum(SHARES.values()), rel=1e-5)
    with pytest.raises(UsageError, match="arms and a head"):
        create_model("point_kernel", spec=SPEC, classes=2, signer=True)


def test_a_training_is_solved_at_once_and_starts_from_nothing(tmp_path: Path) -> None:
    points, labels = takes()
    layout = SPEC.layout
    names = ("left", "right", "still")
    with writing_store(tmp_path / "store", layout=layout, units="image01", labels=names, about={}) as writer:
        for number, (clip, label) in enumerate(zip(points.numpy(), labels.tolist(), strict=True)):
            writer.add(SkeletonClip.from_points(
                clip[None], layout=layout, fps=30.0, units="image01", label=names[label], subject="anna",
                source_id=f"{number}", split="train",
            ))  # fmt: skip
    store, recipe = ClipStore.open(tmp_path / "store"), load_recipe("teach_hand")
    plan = make_plan(store, recipe)
    learner = ClassLearner(plan, recipe)
    built = learner.model()
    assert learner.options["centres"] == len(points) and learner.begin(built) is None
    assert (predict(built, store, plan.train, spec=plan.spec).argmax(1) == labels.numpy()).all()
    before = Start(tmp_path, tmp_path, "", "point_kernel", {}, 3, SPEC, finished=True, tensors={})
    with pytest.raises(UsageError, match="follows from its clips alone"):
        ClassLearner(plan, recipe, start=before)
