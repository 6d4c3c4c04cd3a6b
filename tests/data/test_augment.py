"""Augmentation: a switched-off one is the plain window; each change keeps what it should."""

from __future__ import annotations

import numpy as np

from last_edge.data.augment import Augment, augment, hide_joints
from last_edge.data.dataset import epoch_order
from last_edge.inputs import fit_window
from last_edge.skeleton import Layout, get_layout


def clip(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 20, 5, 3)).astype(np.float32)


def changed(points: np.ndarray, layout: Layout, ranges: Augment, seed: int = 1) -> np.ndarray:
    return augment(points, frames=16, layout=layout, ranges=ranges, random=np.random.default_rng(seed))


def lengths(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, :, 1:] - points[:, :, :1], axis=-1)


def test_nothing_switched_on_is_the_plain_window(toy_layout: Layout) -> None:
    np.testing.assert_allclose(changed(clip(), toy_layout, Augment()), fit_window(clip(), 16), atol=1e-6)


def test_rotation_keeps_lengths_and_the_vertical(toy_layout: Layout) -> None:
    plain, turned = fit_window(clip(), 16), changed(clip(), toy_layout, Augment(rotation_deg=40))
    np.testing.assert_allclose(lengths(turned), lengths(plain), rtol=1e-4)
    np.testing.assert_allclose(turned[..., 1], plain[..., 1], atol=1e-5)
    assert np.abs(turned - plain).max() > 0.05


def test_scale_multiplies_every_length_alike(toy_layout: Layout) -> None:
    ratio = lengths(changed(clip(), toy_layout, Augment(scale=0.3))) / lengths(fit_window(clip(), 16))
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)
    assert 0.7 <= ratio.flat[0] <= 1.3


def test_mirror_swaps_left_and_right(toy_layout: Layout) -> None:
    plain, mirrored = fit_window(clip(), 16), changed(clip(), toy_layout, Augment(mirror=1.0))
    np.testing.assert_allclose(mirrored[:, :, 1, 1:], plain[:, :, 2, 1:])
    np.testing.assert_allclose(mirrored[:, :, 1, 0], -plain[:, :, 2, 0])


def test_crop_stays_inside_the_clip(toy_layout: Layout) -> None:
    time = np.broadcast_to(np.arange(20, dtype=np.float32)[None, :, None, None], (1, 20, 5, 3)).copy()
    for seed in range(20):
        got = changed(time, toy_layout, Augment(crop=0.5, warp=0.9), seed)[0, :, 0, 0]
        assert got.min() >= 0 and got.max() <= 19
        assert (np.diff(got) >= 0).all()
        assert got[-1] - got[0] >= 0.49 * 19


def test_hidden_joints_are_missing_throughout(toy_layout: Layout) -> None:
    shares = [np.isnan(changed(clip(), toy_layout, Augment(mask=1.0), seed)).mean() for seed in range(30)]
    missing = np.isnan(changed(clip(), toy_layout, Augment(mask=1.0), 3))
    np.testing.assert_array_equal(missing.all(axis=(0, 1, 3)), missing.any(axis=(0, 1, 3)))
    assert 0.2 < float(np.mean(shares)) < 0.8


def test_the_joints_that_centre_and_scale_are_never_hidden() -> None:
    layout = get_layout("shrec22")
    needed = {*layout.centre, *(joint for end in layout.scale or () for joint in end)}
    points = np.ones((1, 4, layout.joints, 3), np.float32)
    for seed in range(20):
        hidden = hide_joints(points, 0.9, layout, np.random.default_rng(seed))
        gone = {int(joint) for joint in np.flatnonzero(np.isnan(hidden).all((0, 1, 3)))}
        assert gone and not gone & needed


def test_every_epoch_has_an_order_of_its_own() -> None:
    one, other = (epoch_order(50, seed=1, epoch=epoch).tolist() for epoch in (0, 1))
    assert sorted(one) == sorted(other) == list(range(50))
    assert one != other and one != list(range(50))
    assert one == epoch_order(50, seed=1, epoch=0).tolist() != epoch_order(50, seed=2, epoch=0).tolist()


def test_shear_bends_and_warp_shifts_time(toy_layout: Layout) -> None:
    points = np.random.default_rng(0).normal(size=(1, 20, 5, 3)).astype(np.float32)
    still = np.broadcast_to(np.arange(20, dtype=np.float32)[None, :, None, None], (1, 20, 5, 3)).copy()

    def bent(clip: np.ndarray, ranges: Augment) -> np.ndarray:
        return augment(clip, frames=16, layout=toy_layout, ranges=ranges, random=np.random.default_rng(4))

    plain, sheared = fit_window(points, 16), bent(points, Augment(shear=0.3))
    fitted, *_ = np.linalg.lstsq(plain.reshape(-1, 3), sheared.reshape(-1, 3), rcond=None)
    np.testing.assert_allclose(np.diag(fitted), 1.0, atol=1e-3)
    assert np.abs(fitted - np.eye(3)).max() > 0.05
    steps = np.diff(bent(still, Augment(warp=0.8))[0, :, 0, 0])
    assert steps.max() / steps.min() > 1.2
