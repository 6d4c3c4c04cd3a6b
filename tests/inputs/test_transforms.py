"""The front and its twin in numpy give the same numbers, whatever is missing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from last_edge.inputs import InputSpec, fit_window
from last_edge.models import front
from last_edge.skeleton import Layout, get_layout
from tests.reference.transforms import model_input, normalise, streams

CENTRES, SCALES, BODIES = ("first", "frame", "none"), ("limb", "frame", "none"), (1, 2)


def broken_points(layout: Layout, *, bodies: int, frames: int = 41, seed: int = 0) -> np.ndarray:
    """Random points with single joints, whole frames, the centre and one whole body missing in places."""
    points = np.random.default_rng(seed).normal(1.0, 2.0, (bodies, frames, layout.joints, 3)).astype(np.float32)
    points[:, :4] = np.nan
    points[:, -2:] = np.nan
    points[0, 4:8, layout.centre[0]] = np.nan
    points[0, 20:25, 3] = np.nan
    points[-1, 15] = np.nan
    return points


@pytest.mark.parametrize(("centre", "scale", "bodies"), itertools.product(CENTRES, SCALES, BODIES))
def test_graph_equals_numpy(ntu25: Layout, centre: str, scale: str, bodies: int) -> None:
    spec = InputSpec(ntu25, frames=32, centre=centre, scale=scale, bodies=bodies)
    window = fit_window(broken_points(ntu25, bodies=bodies), spec.frames)
    points = torch.from_numpy(window if bodies > 1 else window[0])[None]
    in_graph = front.LandmarkFront(spec)(points)[0].numpy().reshape(bodies, 9, 32, 25)
    np.testing.assert_allclose(in_graph, streams(normalise(window, spec), spec), atol=1e-5)
    assert np.isfinite(in_graph).all()


def test_window_equals_its_torch_twin(ntu25: Layout) -> None:
    batch = np.stack([broken_points(ntu25, bodies=2, seed=seed) for seed in range(3)])
    batch[1, :, :10] = np.nan
    got = front.fit_window(torch.from_numpy(batch), 64).numpy()
    for clip, expected in zip(got, batch, strict=True):
        np.testing.assert_allclose(clip, fit_window(expected, 64), atol=1e-5)


def test_window_of_seen_span_keeps_ends(toy_layout: Layout) -> None:
    points = broken_points(toy_layout, bodies=1)
    window = fit_window(points, 64)
    np.testing.assert_array_equal(window[0, 0], points[0, 4])
    np.testing.assert_array_equal(window[0, -1], points[0, -3])


def test_window_stretches_linearly(toy_layout: Layout) -> None:
    points = np.zeros((1, 2, 5, 3), np.float32)
    points[0, 1] = 6.0
    np.testing.assert_allclose(fit_window(points, 4)[0, :, 0, 0], [0, 2, 4, 6])


def test_nobody_seen_gives_zeros(ntu25: Layout) -> None:
    spec = InputSpec(ntu25, frames=8, scale="limb")
    nothing = np.full((1, 5, 25, 3), np.nan, np.float32)
    assert not model_input(nothing, spec).any()
    assert not front.LandmarkFront(spec)(torch.full((1, 8, 25, 3), torch.nan)).any()


def test_streams_follow_their_definitions(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=6, centre="none")
    points = np.random.default_rng(1).normal(size=(1, 6, 5, 3)).astype(np.float32)
    joint, velocity, bone = np.split(streams(points, spec)[0], 3)
    np.testing.assert_array_equal(joint.transpose(1, 2, 0), points[0])
    np.testing.assert_allclose(velocity.transpose(1, 2, 0)[:-1], points[0, 1:] - points[0, :-1])
    assert not velocity[:, -1].any()
    np.testing.assert_allclose(bone[:, :, 3], joint[:, :, 3] - joint[:, :, 1])
    assert not bone[:, :, 0].any()


def test_place_and_size_do_not_matter_when_normalised(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=6, centre="first", scale="limb")
    points = np.random.default_rng(2).normal(size=(1, 6, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(normalise(points, spec), normalise(points * 3 + 5, spec), atol=1e-5)


def test_shoulders_are_at_one_place_in_every_frame_that_shows_them() -> None:
    layout = get_layout("mediapipe_holistic75")
    spec = InputSpec(layout, frames=12, channels=2, centre="frame", scale="frame", streams=("joint",))
    points = np.random.default_rng(3).normal(1.0, 2.0, (1, 12, 75, 2)).astype(np.float32)
    points[0, 4, 11] = np.nan
    left, right = model_input(points, spec)[0].transpose(1, 2, 0)[:, [11, 12]].swapaxes(0, 1)
    seen = np.arange(12) != 4
    np.testing.assert_allclose((left + right)[seen], 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm((left - right)[seen], axis=1), 1, atol=1e-5)
    assert np.isfinite(right[4]).all()


def test_a_frame_without_the_limb_is_scaled_by_the_mean(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=3, centre="none", scale="frame", streams=("joint",))
    points = np.zeros((1, 3, 5, 3), np.float32)
    points[0, :, 1, 0] = [2.0, np.nan, 4.0]
    points[0, :, 3] = 6.0
    np.testing.assert_allclose(normalise(points, spec)[0, :, 3, 0], [3.0, 2.0, 1.5])


def test_specifications_made_before_keep_their_identity(ntu25: Layout) -> None:
    assert InputSpec(ntu25).sha256 == "3673d552a313e59283cc545452c80215fcd754ab1b189bb885ee7481fa30ed48"
    assert (
        InputSpec(ntu25, scale="limb", centre="frame").sha256
        == "40d1a39b5e2d4aeb8cb046923a82b060fb8e2c08a3b72dfc0de041013df941cd"
    )


def test_sha_tells_specifications_apart(ntu25: Layout, toy_layout: Layout) -> None:
    specs = [InputSpec(ntu25), InputSpec(toy_layout), InputSpec(ntu25, frames=32), InputSpec(ntu25, centre="none")]
    assert len({spec.sha256 for spec in specs}) == len(specs)
    assert InputSpec(ntu25).sha256 == InputSpec(ntu25).sha256
