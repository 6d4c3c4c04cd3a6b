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
- hand: the other hand than the bundle was taught is mirrored (x changes sign) where it is known which one is seen.
- position is left alone: the `InputSpec` centres.
"""

import numpy as np

from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.runtime.recognise.window import Points, shows_any
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units
from last_edge.skeleton.convert import Side, convert, find_recipe
from last_edge.skeleton.layout import limb_length, mirror

# Medians of SHREC'17 and SHREC'21 (wrist to middle knuckle) and UTD-MHAD (shoulders to hips); NTU's is assumed.
LIMB_METRES = {"shrec22": 0.10, "leap20": 0.09, "kinect20": 0.40, "ntu25": 0.50}
SIDES: dict[str, tuple[Side, ...]] = {"left": ("left",), "right": ("right",)}
BOTH: tuple[Side, ...] = ("right", "left")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HALF_TURN = (-1.0, -1.0, 1.0)


class Adapter:
    """Callable on the points of a clip; made for one source and one bundle.

    hand: `left` or `right` to take that hand of a body with two, else the one seen more; of a source of one hand it
    says which one that is. knows: the hands that the bundle was taught, `left`, `right` or `both`.
    Raises `UsageError` where the joints cannot be converted, `InputError` where the bundle wants more axes.
    """

    def __init__(
        self, layout: Layout, units: Units, *, spec: InputSpec, target_units: Units, hand: str = "first",
        knows: str = "both",
    ) -> None:  # fmt: skip
        self.spec, self._same = spec, layout.names == spec.layout.names
        self._sides, self._hand, self._knows = SIDES.get(hand, BOTH), hand, knows
        self._recipes = (
            {} if self._same else {side: find_recipe(layout.name, spec.layout.name, side=side) for side in BOTH}
        )
        self._used = list(range(layout.joints)) if self._same else self._used_joints()
        self.layout, self._units, self._target_units = layout, units, target_units

    @property
    def other_hand(self) -> str:
        """The hand that would have to be mirrored, where the source is of one hand and nobody said which; else ""."""
        guessing = self._hand not in SIDES and self.layout.one_hand and "wrist" in self.layout.names
        return {"right": "left", "left": "right"}.get(self._knows, "") if guessing else ""

    @property
    def chooses(self) -> bool:
        """Whether the source shows two hands and the one that is seen more counts."""
        return len(self._sides) > 1 and not self._same and self._recipes["left"] != self._recipes["right"]

    def sees(self, points: Points) -> bool:
        """Whether (M, V, C) source points of one frame show anything the bundle uses."""
        return shows_any(points[:, self._used])

    def __call__(self, points: Points) -> Points:
        """(M, T, V, C) of the source -> (M', T, V', C') of the bundle, NaN where missing."""
        return self.fit(points)[0]

    def fit(self, points: Points, *, seen: str = "") -> tuple[Points, bool]:
        """As a call, and whether the points are mirrored: the hand is not the one that the bundle was taught.

        seen: `left` or `right` where the source says which hand it shows, "" where it does not.
        """
        converted, taken = self._joints(points)
        if self._units != self._target_units:
            converted = self._turn(converted)
        side = taken or (self._hand if self._hand in SIDES else seen)
        mirrored = self._knows in SIDES and side in SIDES and side != self._knows
        if mirrored:
            converted = mirror(converted, self.spec.layout)
        return self._fit_bodies(self._fit_axes(converted)), mirrored

    def _used_joints(self) -> list[int]:
        """Source joints that any joint of the bundle is made of."""
        return sorted({joint for side in self._sides for joints in self._recipes[side] for joint in joints})

    def _joints(self, points: Points) -> tuple[Points, str]:
        """The bundle's joints, and which hand of two they are; "" where there is no choice."""
        if self._same:
            return points, ""
        source, target = self.layout.name, self.spec.layout.name
        converted = {side: convert(points, source=source, target=target, side=side) for side in self._sides}
        side = max(converted, key=lambda side: int((~np.isnan(converted[side])).sum()))
        return converted[side], side if self._recipes["left"] != self._recipes["right"] else ""

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


class HandVote:
    """Which hand a stream shows, by what is said of its frames; the newest twenty count most."""

    def __init__(self) -> None:
        self._right = 0.0

    def add(self, seen: str) -> None:
        """`left`, `right`, or "" for a frame that nothing is said of."""
        if seen in SIDES:
            self._right = 0.95 * self._right + (1 if seen == "right" else -1)

    def clear(self) -> None:
        """Forget what was said."""
        self._right = 0.0

    @property
    def hand(self) -> str:
        """`left`, `right`, or "" while nothing was said."""
        return "" if self._right == 0 else "right" if self._right > 0 else "left"


class HandShape:
    """Tells a left hand from a right one by its bend: fingers and thumb lie on the palm's side of the back of the hand.

    A single frame says little. In the mean of 300 frames of SHREC'17's 28 people no right hand was taken for a left,
    and 97.5% of the same hands mirrored were seen to be left.
    """

    frames, least = 300, 0.1

    def __init__(self, layout: Layout) -> None:
        fingers = [[joint for joint, name in enumerate(layout.names) if finger in name] for finger in FINGERS]
        self._bases, self._tips = [joints[0] for joints in fingers], [joints[-1] for joints in fingers]
        self._wrist, self._seen, self._sum = layout.names.index("wrist"), 0, 0.0

    def add(self, points: Points) -> str:
        """One frame's (V, 3) points; `left` or `right` once, when enough frames were seen and agree."""
        bases, tips = points[self._bases] - points[self._wrist], points[self._tips] - points[self._bases]
        back, size = np.cross(bases[1], bases[4]), float(np.linalg.norm(bases[2]))
        bend = float((tips[1:].mean(0) + tips[0]) @ back) / (float(np.linalg.norm(back)) * size + 1e-9)
        if self._seen >= self.frames or not np.isfinite(bend):
            return ""
        self._seen, self._sum = self._seen + 1, self._sum + bend
        mean = self._sum / self._seen
        if self._seen < self.frames or abs(mean) < self.least:
            return ""
        return "right" if mean > 0 else "left"
