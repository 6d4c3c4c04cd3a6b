"""From a source's points to the points a bundle was trained on: joints, direction of the axes, size, bodies.

The one place where the runtime changes what a detector measured:

- joints: `last_edge.skeleton.convert`, for example MediaPipe's hand to SHREC'17's, whose palm is the mean of wrist and
  knuckles. Where a body with two hands feeds a bundle for one, the hand that is seen in more frames is taken.
- axes: `image01` points have x to the right of the image and y down. Depth sensors, whose points are `metres`, have x
  to the person's right and y up; z leads away from the sensor in both. The person faces the camera, so one becomes
  the other by half a turn about z: x and y change sign, and a right hand stays a right hand. The image must not be
  mirrored.
- size: a bundle whose `InputSpec` scales by a limb needs nothing. For one that does not, points are scaled so that the
  layout's limb has the length it has on an adult, `LIMB_METRES`.
- position is left alone: the `InputSpec` centres.
"""

from __future__ import annotations

import numpy as np

from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.runtime.recognise.window import Points, shows_any
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units
from last_edge.skeleton.convert import Side, convert, find_recipe
from last_edge.skeleton.geometry import limb_length

# Medians of SHREC'17 (wrist to middle knuckle) and UTD-MHAD (shoulders to hips); NTU's is assumed.
LIMB_METRES = {"shrec22": 0.10, "kinect20": 0.40, "ntu25": 0.50}
SIDES: dict[str, tuple[Side, ...]] = {"left": ("left",), "right": ("right",)}
HALF_TURN = (-1.0, -1.0, 1.0)


class Adapter:
    """Callable on the points of a clip; made for one source and one bundle.

    hand: `left` or `right` to take that hand of a body with two, else the one seen more.
    Raises `UsageError` where the joints cannot be converted, `InputError` where the bundle wants more axes.
    """

    def __init__(
        self, layout: Layout, units: Units, *, spec: InputSpec, target_units: Units, hand: str = "first"
    ) -> None:
        self.spec, self._same = spec, layout.names == spec.layout.names
        self._sides = SIDES.get(hand, ("right", "left"))
        self._used = list(range(layout.joints)) if self._same else self._used_joints(layout)
        self.layout, self._units, self._target_units = layout, units, target_units

    def sees(self, points: Points) -> bool:
        """Whether (M, V, C) source points of one frame show anything the bundle uses."""
        return shows_any(points[:, self._used])

    def __call__(self, points: Points) -> Points:
        """(M, T, V, C) of the source -> (M', T, V', C') of the bundle, NaN where missing."""
        converted = self._joints(points)
        if self._units != self._target_units:
            converted = self._turn(converted)
        return self._fit_bodies(self._fit_axes(converted))

    def _used_joints(self, layout: Layout) -> list[int]:
        """Source joints that any joint of the bundle is made of."""
        recipes = [find_recipe(layout.name, self.spec.layout.name, side=side) for side in self._sides]
        return sorted({joint for recipe in recipes for joints in recipe for joint in joints})

    def _joints(self, points: Points) -> Points:
        if self._same:
            return points
        source, target = self.layout.name, self.spec.layout.name
        converted = [convert(points, source=source, target=target, side=side) for side in self._sides]
        return max(converted, key=lambda body: int((~np.isnan(body)).sum()))

    def _turn(self, points: Points) -> Points:
        """`image01` to `metres` or back: half a turn about z, and the size of an adult where it matters."""
        turned = points * np.array(HALF_TURN[: points.shape[-1]], np.float32)
        if self.spec.scale != "none" or self._target_units != "metres":
            return turned
        length = np.nan_to_num(limb_length(turned[0], self.spec.layout), nan=1.0)
        return np.asarray(turned * np.float32(LIMB_METRES.get(self.spec.layout.name, length) / length), np.float32)

    def _fit_axes(self, points: Points) -> Points:
        if points.shape[-1] < self.spec.channels:
            raise InputError("the source has too few axes", expected=self.spec.channels, got=points.shape[-1])
        return points[..., : self.spec.channels]

    def _fit_bodies(self, points: Points) -> Points:
        """The first M bodies; missing ones where the source has fewer."""
        bodies = points[: self.spec.bodies]
        absent = np.full((self.spec.bodies - len(bodies), *points.shape[1:]), np.nan, np.float32)
        return np.concatenate([bodies, absent])
