"""A streaming model is one function, however its frames come, and keeps what its card says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models.describe import count
from last_edge.models.last_lite_stream import LastLiteStream, State
from last_edge.models.layers.gcn import FrameGraphConv, SpatialGCN
from last_edge.models.layers.pointwise import JointReadout
from last_edge.models.registry import create_model, create_streamer, streamer_names
from last_edge.skeleton import get_layout
from last_edge.skeleton.layout import spatial_partition
from last_edge.tasks.stream.learner import late
from tests.models.test_deployed import shake

HAND = InputSpec(get_layout("leap20"), centre="frame", scale="limb", resample="pad")
PLAIN = replace(HAND, scale="none", streams=("joint", "velocity"))


def trained(name: str = "last_lite_stream_nano", spec: InputSpec = HAND) -> LastLiteStream:
    """A model whose weights and norms are far from their start."""
    torch.manual_seed(3)
    model: LastLiteStream = create_streamer(name, spec=spec, classes=18)
    shake(model)
    torch.nn.init.normal_(model.head.weight, 0.0, 0.3)
    return model.eval()


def recording(frames: int, *, seed: int = 0, spec: InputSpec = HAND) -> Tensor:
    """A hand that wanders, with points that are missing and times without any."""
    random = np.random.default_rng(seed)
    hand = random.normal(size=(spec.layout.joints, spec.channels)) * 0.05
    way = np.cumsum(random.normal(size=(frames, 1, spec.channels)) * 0.02, axis=0)
    points = hand + way + random.normal(size=(frames, *hand.shape)) * 0.01
    points[random.random(points.shape[:2]) < 0.05] = np.nan
    gone = int(random.integers(frames))
    points[gone : gone + int(random.integers(1, 40))] = np.nan
    return torch.from_numpy(points[None].astype(np.float32))


def frame_by_frame(model: LastLiteStream, points: Tensor) -> tuple[Tensor, Tensor, State]:
    """Logits, seconds and last state of clips (N, T, V, C) given frame by frame."""
    state, logits, elapsed = model.initial_state(len(points)), [], []
    for frame in points.unbind(1):
        answer, state = model.forward_step(frame, state)
        logits.append(answer.logits)
        elapsed.append(answer.elapsed)
    return torch.stack(logits, 1), torch.stack(elapsed, 1), state


@pytest.mark.parametrize("spec", [HAND, PLAIN], ids=["hand", "plain"])
@pytest.mark.parametrize("name", streamer_names())
@torch.no_grad()
def test_clip_steps_and_step_are_one_function(name: str, spec: InputSpec) -> None:
    model, random = trained(name, spec), np.random.default_rng(5)
    for seed in range(6):
        points = recording(int(random.integers(1, 200)), seed=seed, spec=spec)
        whole = model(points)
        logits, elapsed, last = frame_by_frame(model, points)
        torch.testing.assert_close(logits, whole.logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(elapsed, whole.elapsed, atol=1e-5, rtol=1e-5)
        cuts = sorted(random.integers(0, points.shape[1] + 1, 3).tolist())
        state, parts = model.initial_state(1), []
        for start, stop in zip([0, *cuts], [*cuts, points.shape[1]], strict=True):
            if stop > start:
                answer, state = model.forward_steps(points[:, start:stop], state)
                parts.append(answer.logits)
        torch.testing.assert_close(torch.cat(parts, 1), whole.logits, atol=1e-5, rtol=1e-5)
        for name_of, value in state.items():
            torch.testing.assert_close(last[name_of], value, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_people_are_a_batch_of_states() -> None:
    model = trained()
    people = torch.cat([recording(50, seed=seed) for seed in range(3)])
    together = model(people).logits
    for person in range(3):
        torch.testing.assert_close(model(people[person : person + 1]).logits[0], together[person], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_folding_keeps_the_function() -> None:
    model, points = trained(), recording(80)
    expected, got = model(points), model.deployed()(points)
    assert expected.logits.std() > 0.1
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got.elapsed, expected.elapsed, atol=1e-4, rtol=1e-4)


def test_training_and_inference_filter_alike() -> None:
    model, points = trained(), recording(40)
    expected = model(points).logits
    for block in model.blocks:
        block.depthwise.training = True  # type: ignore[union-attr, assignment]
    torch.testing.assert_close(model(points).logits, expected, atol=1e-5, rtol=1e-5)


def test_fast_forms_are_the_plain_ones() -> None:
    torch.manual_seed(0)
    adjacency = spatial_partition(get_layout("leap20"), max_hop=1)
    plain, fast = (kind(6, 8, adjacency=adjacency, learn_edges=False).eval() for kind in (SpatialGCN, FrameGraphConv))
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(2, 6, 7, 20)
    torch.testing.assert_close(fast(x), plain(x), atol=1e-5, rtol=1e-5)
    readout = JointReadout(6, joints=20, sums=3)
    torch.testing.assert_close(readout.train()(x), readout.eval()(x), atol=1e-5, rtol=1e-5)


def test_an_answer_depends_on_its_receptive_field_and_on_no_later_frame() -> None:
    model = trained(spec=PLAIN)
    front, later = model.front.running.share, 150
    front[1:] = 1.0  # the running place is the place itself: what is left is counted
    points = recording(later + 40, spec=PLAIN).nan_to_num(0.0).requires_grad_()
    model(points).logits[0, later].square().sum().backward()
    assert points.grad is not None
    reached = points.grad.abs().sum((0, 2, 3)).nonzero().flatten()
    assert int(reached[-1]) == later + model.delay
    assert int(reached[-1] - reached[0]) + 1 == model.receptive_field


@torch.no_grad()
def test_a_late_answer_is_taught_what_the_frame_it_is_for_shows() -> None:
    targets = torch.arange(2 * 6 * 3, dtype=torch.float32).reshape(2, 6, 3)
    moved = late(targets, 2)
    assert not moved[:, :2].any(), "weight 0: nothing is taught before the first frame's answer comes"
    assert torch.equal(moved[:, 2:], targets[:, :4]) and torch.equal(late(targets, 0), targets)


def test_state_is_bounded_and_forgets_a_hand_that_was_lost() -> None:
    model = trained()
    state, frame = model.initial_state(1), recording(1)[:, 0].nan_to_num(0.1)
    for _ in range(300):
        _, state = model.forward_step(frame, state)
    assert float(state["running"].abs().max()) <= 1.0
    gone = torch.full_like(frame, torch.nan)
    for _ in range(300):
        answer, state = model.forward_step(gone, state)
    patience = model.front.running.patience
    assert state["running"][0, :, 0].tolist() == [0.0] * (model.front.running.width - 1) + [patience]
    assert torch.isfinite(answer.logits).all() and all(torch.isfinite(value).all() for value in state.values())


@torch.no_grad()
def test_size_and_place_of_a_hand_change_no_answer() -> None:
    model, points = trained(), recording(60)
    moved = points * 1.7 + torch.tensor([3.0, -2.0, 1.0])
    torch.testing.assert_close(model(moved).logits, model(points).logits, atol=1e-3, rtol=1e-3)


def test_costs_stay_within_what_is_promised() -> None:
    for layout in ("leap20", "mediapipe_hand21", "ntu25"):
        spec = InputSpec(get_layout(layout), centre="frame", scale="limb", resample="pad")
        model = create_streamer("last_lite_stream_nano", spec=spec, classes=18).eval()
        assert count(model) <= 100_000
        assert model.state_size <= 64 * 1024
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model.forward_step(torch.zeros(1, spec.layout.joints, 3), model.initial_state(1))
        assert counter.get_total_flops() / 2 <= 1_500_000


def test_inputs_that_look_at_whole_clips_are_refused() -> None:
    with pytest.raises(UsageError, match="another input"):
        create_streamer("last_lite_stream_nano", spec=InputSpec(get_layout("leap20")), classes=3)
    with pytest.raises(UsageError, match="every frame"):
        create_model("last_lite_stream_nano", spec=HAND, classes=3)
