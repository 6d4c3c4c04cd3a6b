"""The camera: metres of the signer to points of an image, in MediaPipe's conventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.body import LEFT_HAND, RIGHT_HAND
from last_edge.data.synth.rotation import about_axis
from last_edge.data.synth.signer import Signer
from last_edge.skeleton.layout import Layout

Array = NDArray[np.float64]
HIPS = (23, 24)
AXES = np.eye(3)


@dataclass(frozen=True)
class View:
    """yaw, pitch, roll in radians; closeness in image heights a metre; distance in metres; centre in image heights."""

    yaw: float
    pitch: float
    roll: float
    closeness: float
    distance: float
    centre: tuple[float, float]


def view(signer: Signer, rng: np.random.Generator) -> View:
    """This clip's view: the signer's usual camera, a little moved."""
    return View(
        yaw=signer.yaw + rng.normal(0.0, 0.08),
        pitch=signer.pitch + rng.normal(0.0, 0.04),
        roll=rng.normal(0.0, 0.05),
        closeness=signer.closeness * rng.uniform(0.9, 1.1),
        distance=signer.distance,
        centre=(signer.aspect / 2 + rng.normal(0.0, 0.06), 0.48 + rng.normal(0.0, 0.03)),
    )


def to_world(points: Array, layout: Layout, *, left_handed: bool) -> Array:
    """Signing-side axes -> (signer's left, up, towards the viewer); a left-handed signer's sides are exchanged."""
    if left_handed:
        return np.asarray(points[:, list(layout.mirror)])
    return np.asarray(points * np.array([-1.0, 1.0, 1.0]))


def project(points: Array, seen_from: View) -> Array:
    """World metres (T, 75, 3) -> image points (T, 75, 3) in image heights: x right, y down, z away from the viewer.

    As in MediaPipe the body's depth counts from between the hips and each hand's from its own wrist.
    """
    turned = points @ _rotation(seen_from).T
    depth = seen_from.distance - turned[..., 2]
    focal = seen_from.closeness * seen_from.distance
    across, down = focal * turned[..., 0] / depth, -focal * turned[..., 1] / depth
    away = seen_from.closeness * depth
    away[:, :33] -= away[:, list(HIPS)].mean(axis=1, keepdims=True)
    for hand in (LEFT_HAND, RIGHT_HAND):
        away[:, hand] -= away[:, hand.start, None].copy()
    return np.stack([across + seen_from.centre[0], down + seen_from.centre[1], away], axis=-1)


def _rotation(seen_from: View) -> Array:
    turns = (seen_from.pitch, seen_from.yaw, seen_from.roll)
    about_x, about_y, about_z = (about_axis(AXES[axis], np.array([angle]))[0] for axis, angle in enumerate(turns))
    return np.asarray(about_z @ about_x @ about_y)
