"""Clips in a device's memory: the batch does what the clip-by-clip augmentation does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from last_edge.clips.store import ClipStore
from last_edge.data.augment import Augment, apply, draw
from last_edge.data.dataset import DeviceClips, Draws, apply_batch, draw_batch
from last_edge.inputs.spec import InputSpec
from last_edge.skeleton import get_layout

RANGES = Augment(
    rotation_deg=20, tilt_deg=20, scale=0.2, shear=0.1, crop=0.7, warp=0.5, mirror=0.5, mask=0.3, bones=0.25
)
LENGTHS = (9, 30, 1, 17)


def clips(bodies: int, joints: int, axes: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    made = [random.normal(size=(bodies, length, joints, axes)).astype(np.float32) for length in LENGTHS]
    made[1][:, 4:9, 2] = np.nan
    made[3][:, 3] = np.nan
    return made


@pytest.mark.parametrize("name", ["shrec22", "mediapipe_pose33"])
@pytest.mark.parametrize("bodies", [1, 2])
def test_a_batch_is_changed_as_its_clips_are_one_by_one(name: str, bodies: int) -> None:
    layout, random = get_layout(name), np.random.default_rng(3)
    points = clips(bodies, layout.joints)
    draws = [draw(clip, frames=16, layout=layout, ranges=RANGES, random=random) for clip in points]
    expected = np.stack([apply(clip, drawn, layout=layout) for clip, drawn in zip(points, draws, strict=True)])
    frames = torch.from_numpy(np.concatenate([clip.swapaxes(0, 1) for clip in points]))
    lengths = torch.tensor(LENGTHS)
    starts = lengths.cumsum(0) - lengths
    got = apply_batch(frames, Draws.stack(draws), starts=starts, ends=lengths - 1, layout=layout)
    np.testing.assert_array_equal(np.isnan(got.numpy()), np.isnan(expected))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_draws_keep_to_their_ranges_and_differ() -> None:
    spec = InputSpec(layout=get_layout("shrec22"), frames=16)
    spans = torch.tensor([[0, 29]]).repeat(500, 1)
    drawn = draw_batch(spans, spec=spec, ranges=RANGES, random=torch.Generator().manual_seed(0))
    assert drawn.positions.min() >= 0 and drawn.positions.max() <= 29
    assert (drawn.positions.diff(dim=1) >= 0).all()
    assert 0.75 <= drawn.lengths.min() < 0.76 and 1.24 < drawn.lengths.max() <= 1.25
    assert 0.4 < drawn.mirrored.float().mean() < 0.6
    assert 0.1 < drawn.hidden.float().mean() < 0.2
    assert not drawn.hidden[:, list(spec.layout.centre)].any()
    sizes = torch.linalg.det(drawn.matrix).abs() ** (1 / 3)
    assert sizes.min() > 0.75 and sizes.max() < 1.25 and len(sizes.unique()) == 500
    nothing = draw_batch(spans, spec=spec, ranges=Augment(), random=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nothing.matrix, torch.eye(3).expand(500, 3, 3))
    assert not nothing.hidden.any() and not nothing.mirrored.any() and bool((nothing.lengths == 1).all())


def test_a_batch_is_drawn_again_by_its_epoch_and_items(toy_store: Path) -> None:
    store = ClipStore.open(toy_store)
    spec = InputSpec(layout=store.layout, frames=12, channels=store.frames.shape[-1])
    train = store.select(split="train")
    made = DeviceClips(store, train, spec=spec, ranges=RANGES, seed=1, device="cpu")
    points, labels, ids = made.batch([3, 1, 2])
    assert points.shape == (3, *spec.shape)
    assert ids.tolist() == train[[3, 1, 2]].tolist()
    assert labels.tolist() == store.index.label[train[[3, 1, 2]]].tolist()
    torch.testing.assert_close(made.batch([3, 1, 2])[0], points, equal_nan=True)
    made.epoch = 1
    assert not torch.equal(torch.nan_to_num(made.batch([3, 1, 2])[0]), torch.nan_to_num(points))


def test_longer_bones_keep_directions() -> None:
    layout = get_layout("shrec22")
    points = clips(1, layout.joints)[0]
    only = dataclasses.replace(Augment(), bones=0.25)
    drawn = draw(points, frames=9, layout=layout, ranges=only, random=np.random.default_rng(0))
    changed, parents = apply(points, drawn, layout=layout), list(layout.parents)
    ratio = (changed - changed[:, :, parents]) / np.where(
        points == points[:, :, parents], 1, points - points[:, :, parents]
    )
    moving = [joint for joint, parent in enumerate(parents) if joint != parent]
    expected = np.broadcast_to(drawn.lengths[None, None, :, None], ratio.shape)
    np.testing.assert_allclose(ratio[:, :, moving], expected[:, :, moving], rtol=1e-2)
