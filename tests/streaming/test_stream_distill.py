"""Students for streams: teachers that look further ahead, or of cut clips, answer every frame of a crop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from last_edge.clips.store import ClipStore
from last_edge.distill.streams import StreamDistillation, StreamTeachers, whole_gestures
from last_edge.errors import EXIT_INPUT, EXIT_USAGE
from last_edge.models import create_model
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.models.registry import create_streamer
from last_edge.tasks.config import DistillConfig
from last_edge.tasks.stream.learner import FrameObjective, frame_objective
from last_edge.tools.cli import main
from last_edge.train.checkpoint import ModelCard, write_checkpoint
from last_edge.train.recipe import load_recipe
from tests.streaming.conftest import GESTURES, LABELS, OPTIONS, SPEC, hand

FRAMES = 60
FAST = ("training.epochs=1", "training.batch_size=2", "input.frames=100", "validation.every=1")


def truth(*spans: tuple[int, int, int]) -> torch.Tensor:
    """(T, 3) of a crop that shows gestures (class, first, last) and otherwise background."""
    made = torch.zeros(FRAMES, 3)
    made[:, 0], made[:, 1] = len(GESTURES), 0.6
    for label, first, last in spans:
        made[first : last + 1, 0], made[first : last + 1, 1] = label, 1.0
        made[first : last + 1, 2] = (torch.arange(last - first + 1) + 1) / 25
    return made


@pytest.fixture(scope="module")
def plain() -> FrameObjective:
    """Labels alone."""
    return frame_objective(load_recipe("shrec21_stream"))


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    """Two crops."""
    return torch.from_numpy(np.stack([hand(FRAMES, seed=place, gone=False) for place in range(2)]))


def test_a_gesture_is_whole_when_its_beginning_and_end_are_in_the_crop() -> None:
    shown = truth((0, 10, 19), (1, 20, 29), (2, 50, 59))
    shown[:5, 0] = 2  # one that began before the crop has no time since its beginning
    assert list(whole_gestures(shown)) == [(10, 19), (20, 29)]
    assert list(whole_gestures(shown.repeat_interleave(2, 0))) == [(20, 39), (40, 59)], "played at half the pace"


def test_a_teacher_that_answers_later_tells_of_the_same_frames(model: LastLiteStream, points: torch.Tensor) -> None:
    targets = torch.stack([truth((0, 10, 19)), truth((1, 30, 39))])
    told = StreamTeachers([model], [torch.empty(0)], classes=len(LABELS), tau=2.0)(points, targets)
    with torch.no_grad():
        answers = torch.softmax(model(points).logits / 2.0, -1)
    torch.testing.assert_close(told[:, : -model.delay], answers[:, model.delay :])
    assert told[:, -model.delay :].abs().sum() == 0


def test_a_classifier_tells_of_whole_gestures_alone(points: torch.Tensor) -> None:
    torch.manual_seed(0)
    clips = create_model("last_lite_nano", spec=SPEC, classes=len(LABELS))
    places = torch.tensor([2, -1, 0, 1])  # its own order, with a background of its own
    targets = torch.stack([truth((0, 10, 19), (1, 50, 59)), truth()])
    told = StreamTeachers([clips], [places], classes=len(LABELS), tau=1.0)(points, targets)
    share = told[0, 10]
    assert share[:3].sum().item() == pytest.approx(1.0) and share[3] == 0 and (share[:3] > 0).all()
    torch.testing.assert_close(told[0, 10:20], share.expand(10, -1))
    assert told.sum(-1).nonzero().tolist() == [[0, frame] for frame in range(10, 20)], "of nothing else"


def test_who_agrees_with_the_teacher_owes_nothing(
    model: LastLiteStream, plain: FrameObjective, points: torch.Tensor
) -> None:
    targets = torch.stack([truth((0, 10, 19)), truth((1, 30, 39))])[:, :-2]
    targets = torch.nn.functional.pad(targets, (0, 0, 0, 2))  # the last frames, which nobody answers, weigh nothing
    teachers = StreamTeachers([model], [torch.empty(0)], classes=len(LABELS), tau=2.0)
    labels, _ = plain(model, points, targets)
    hard = plain.parts["frame_loss"].detach()
    both = StreamDistillation(teachers, plain, DistillConfig(a=0.25, b=0.75, tau=2.0))
    loss, logits = both(model, points, targets)
    assert both.parts["soft"].item() == pytest.approx(0.0, abs=1e-5) and logits.shape == (2, FRAMES, len(LABELS))
    assert loss.item() == pytest.approx((labels - 0.75 * hard).item(), rel=1e-5)
    nobody = StreamDistillation(StreamTeachers([], [], classes=len(LABELS), tau=2.0), plain, both.config)
    assert torch.equal(nobody(model, points, targets)[0], labels), "labels teach what nobody answers"
    other: LastLiteStream = create_streamer("last_lite_stream_nano", spec=SPEC, classes=len(LABELS), delay=7)
    loss, _ = both(other, points, targets)
    assert both.parts["soft"].item() > 0.05
    loss.backward()
    assert other.head.weight.grad is not None and all(part.grad is None for part in model.parameters())


def typed(store: Path, out: Path, *more: str) -> list[str]:
    sets = [text for value in FAST for text in ("--set", value)]
    recipe = ["--recipe", "shrec21_stream_kd", "--model", "last_lite_stream_nano"]
    return ["distill", *recipe, "--store", str(store), "--out", str(out), *sets, *more]


def test_a_student_for_streams_is_distilled(
    store: ClipStore, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = ("--teacher", str(run))
    assert main(typed(store.path, tmp_path / "run", *teacher, "--dry-run")) == 0
    assert "loss: 0.3 * cross entropy + 0.7 * kl (tau 2)" in capsys.readouterr().out
    assert main(typed(store.path, tmp_path / "run", *teacher)) == 0
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["soft"] > 0 and row["frame_loss"] > 0
    capsys.readouterr()
    for more, told in (
        (("--cache", str(tmp_path / "cache")), "crops of recordings are new every epoch"),
        (("--set", "distill.soft=dkd"), "distill.soft is for classifiers of clips"),
    ):
        assert main(typed(store.path, tmp_path / "other", *teacher, *more)) == EXIT_USAGE
        assert told in capsys.readouterr().err
    assert main(typed(store.path, tmp_path / "other", *teacher, "--set", "model.options.rate=50")) == EXIT_INPUT
    assert "teacher counts in other frames" in capsys.readouterr().err
    assert not (tmp_path / "other").exists() or not list((tmp_path / "other").glob("*.jsonl"))


def test_teachers_of_other_gestures_or_points_are_refused(
    model: LastLiteStream, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(store.path, tmp_path / "run", "--teacher", "last_lite_nano_live14")) == EXIT_INPUT
    assert "teacher reads other points" in capsys.readouterr().err
    card = ModelCard("last_lite_stream_nano", OPTIONS, len(LABELS), SPEC.sha256, store.sha256, "metres")
    write_checkpoint(
        tmp_path / "teacher", weights=model.state_dict(), card=card, spec=SPEC, labels=("wave", *LABELS[1:]), texts={},
        trainer={},
    )  # fmt: skip
    assert main(typed(store.path, tmp_path / "run", "--teacher", str(tmp_path / "teacher"))) == EXIT_INPUT
    assert "teacher knows other labels" in capsys.readouterr().err
