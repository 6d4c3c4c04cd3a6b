"""From a detector's points to a bundle's: joints, axes, size, bodies."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.runtime.recognise.adapt import LIMB_METRES, Adapter
from last_edge.skeleton import get_layout
from last_edge.skeleton.layout import limb_length
from tests.reference.transforms import model_input

HAND = get_layout("mediapipe_hand21")
SHREC = get_layout("shrec22")
HOLISTIC = get_layout("mediapipe_holistic75")


def points(joints: int, *, bodies: int = 1, frames: int = 4, axes: int = 3) -> np.ndarray:
    shape = (bodies, frames, joints, axes)
    return np.random.default_rng(1).uniform(0.1, 0.9, shape).astype(np.float32)


def test_same_layout_and_units_change_nothing() -> None:
    given = points(21)
    adapted = Adapter(HAND, "image01", spec=InputSpec(HAND), target_units="image01")(given)
    np.testing.assert_array_equal(adapted, given)


def test_hand_becomes_shrec_by_half_a_turn() -> None:
    given = points(21)
    adapted = Adapter(HAND, "image01", spec=InputSpec(SHREC, scale="limb"), target_units="metres")(given)
    np.testing.assert_allclose(adapted[:, :, 0], given[:, :, 0] * (-1, -1, 1), rtol=1e-6)
    palm = given[:, :, [0, 5, 9, 13, 17]].mean(axis=2) * (-1, -1, 1)
    np.testing.assert_allclose(adapted[:, :, 1], palm, rtol=1e-5)


def test_a_right_hand_stays_a_right_hand() -> None:
    """The turn keeps orientation: the sign of a triple product of three bones does not change."""
    given = points(21)
    adapted = Adapter(HAND, "image01", spec=InputSpec(SHREC, scale="limb"), target_units="metres")(given)
    before = np.linalg.det(given[0, :, [5, 9, 17]].swapaxes(0, 1) - given[0, :, :1])
    after = np.linalg.det(adapted[0, :, [6, 10, 18]].swapaxes(0, 1) - adapted[0, :, :1])
    np.testing.assert_allclose(after, before, rtol=1e-3)


def test_a_sensor_hand_seen_by_a_camera_is_the_same_model_input() -> None:
    """The camera sees the sensor's hand from afar: x mirrored, y down, in heights of the image."""
    sensor = points(22, frames=6) * np.float32(0.2)
    sensor[:, :, 1] = sensor[:, :, [0, 6, 10, 14, 18]].mean(axis=2)
    seen = sensor[:, :, [0, *range(2, 22)]] * np.array([-1.7, -1.7, 1.7], np.float32) + np.float32(0.5)
    spec = InputSpec(SHREC, frames=6, scale="limb")
    adapted = Adapter(HAND, "image01", spec=spec, target_units="metres")(seen)
    np.testing.assert_allclose(model_input(adapted, spec), model_input(sensor, spec), atol=1e-4)


def test_unscaled_bundle_in_metres_gets_an_adult_hand() -> None:
    adapted = Adapter(HAND, "image01", spec=InputSpec(SHREC), target_units="metres")(points(21))
    assert limb_length(adapted[0], SHREC) == pytest.approx(LIMB_METRES["shrec22"], rel=1e-5)


def test_the_hand_seen_more_feeds_a_one_hand_bundle() -> None:
    given = points(75)
    given[:, 1:, 54:75] = np.nan
    adapter = Adapter(HOLISTIC, "image01", spec=InputSpec(HAND), target_units="image01")
    np.testing.assert_array_equal(adapter(given), given[:, :, 33:54])
    right = Adapter(HOLISTIC, "image01", spec=InputSpec(HAND), target_units="image01", hand="right")
    assert np.isnan(right(given)[:, 1:]).all()


def test_a_body_without_hands_shows_a_hand_bundle_nothing() -> None:
    given = points(75)[:, 0]
    given[:, 33:] = np.nan
    assert not Adapter(HOLISTIC, "image01", spec=InputSpec(HAND), target_units="image01").sees(given)
    assert Adapter(HOLISTIC, "image01", spec=InputSpec(HOLISTIC), target_units="image01").sees(given)


def test_missing_bodies_are_missing_and_spare_axes_are_cut() -> None:
    spec = InputSpec(HAND, bodies=2, channels=2)
    adapted = Adapter(HAND, "image01", spec=spec, target_units="image01")(points(21))
    assert adapted.shape == (2, 4, 21, 2)
    assert np.isnan(adapted[1]).all() and not np.isnan(adapted[0]).any()


def test_too_few_axes_and_unknown_conversions_are_refused() -> None:
    with pytest.raises(InputError, match="too few axes"):
        Adapter(HAND, "image01", spec=InputSpec(HAND), target_units="image01")(points(21, axes=2))
    with pytest.raises(UsageError, match="mediapipe_hand21 to ntu25"):
        Adapter(HAND, "image01", spec=InputSpec(get_layout("ntu25")), target_units="metres")
