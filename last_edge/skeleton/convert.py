"""Conversion between layouts where it means something: each target joint is a source joint or the mean of several."""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import Layout, get_layout

Side = Literal["left", "right"]
Recipe = tuple[tuple[int, ...], ...]
"""For each target joint the source joints whose mean it is; empty where the source has none: a missing point."""

PALM = (0, 5, 9, 13, 17)
"""Wrist and the four knuckles of a MediaPipe hand; their mean is the palm of `shrec22`."""

HAND = "mediapipe_hand21"
BODY = "mediapipe_pose33"
HOLISTIC = "mediapipe_holistic75"
FACED = "mediapipe_holistic83"

OPENPOSE_BODY = {"left_foot_index": "left_big_toe", "right_foot_index": "right_big_toe"}
KINECT_OF_POSE: dict[str, tuple[str, ...]] = {
    "head": ("left_ear", "right_ear"), "shoulder_centre": ("left_shoulder", "right_shoulder"),
    "spine": ("left_shoulder", "right_shoulder", "left_hip", "right_hip"), "hip_centre": ("left_hip", "right_hip"),
    "left_hand": ("left_index", "left_pinky"), "right_hand": ("right_index", "right_pinky"),
    "left_foot": ("left_foot_index",), "right_foot": ("right_foot_index",),
}  # fmt: skip
"""Joints of a Kinect that MediaPipe Pose has no point of: the mean of those around them."""
NTU_OF_POSE = {
    **KINECT_OF_POSE,
    "spine_base": KINECT_OF_POSE["hip_centre"],
    "spine_mid": KINECT_OF_POSE["spine"],
    "spine_shoulder": KINECT_OF_POSE["shoulder_centre"],
    "neck": ("left_shoulder", "right_shoulder", "mouth_left", "mouth_right"),
    "left_hand_tip": ("left_index",),
    "right_hand_tip": ("right_index",),
}
OPENPOSE_OF_POSE: dict[str, tuple[str, ...]] = {
    "neck": ("left_shoulder", "right_shoulder"),
    "mid_hip": ("left_hip", "right_hip"),
    "left_big_toe": ("left_foot_index",),
    "right_big_toe": ("right_foot_index",),
}
OPENPOSE_FACE_OF_MESH: dict[str, tuple[str, ...]] = {
    "face_08_jaw": ("face_chin",),
    "face_21_right_brow": ("face_brow_right_inner",),
    "face_22_left_brow": ("face_brow_left_inner",),
    "face_30_nose": ("face_nose_tip",),
    "face_36_right_eye": ("face_eye_right_outer",),
    "face_45_left_eye": ("face_eye_left_outer",),
    "face_48_mouth": ("face_mouth_right",),
    "face_54_mouth": ("face_mouth_left",),
}
"""The eight face points of `mediapipe_holistic83` among OpenPose's seventy; the others, and small toes, are missing."""
NTU_TO_KINECT = {"shoulder_centre": "spine_shoulder", "spine": "spine_mid", "hip_centre": "spine_base"}


def convert(points: NDArray[np.float32], *, source: str, target: str, side: Side = "right") -> NDArray[np.float32]:
    """(..., V, C) points of layout `source` as (..., V', C) of layout `target`; missing points stay missing.

    side: which hand of a body with two. Raises `UsageError` with what is known when there is no such conversion.
    """
    recipe = find_recipe(source, target, side=side)
    parts = [points[..., list(joints), :].mean(axis=-2) if joints else np.full_like(points[..., 0, :], np.nan)
             for joints in recipe]  # fmt: skip
    return np.stack(parts, axis=-2).astype(np.float32)


def convert_clip(clip: SkeletonClip, target: Layout) -> SkeletonClip:
    """A clip in another layout; the confidence of a mean is the least of its points."""
    if clip.layout == target:
        return clip
    recipe = find_recipe(clip.layout.name, target.name)
    nothing = np.zeros(clip.confidence.shape[:-1], np.float32)
    sure = [clip.confidence[..., list(joints)].min(axis=-1) if joints else nothing for joints in recipe]
    points = convert(clip.coords, source=clip.layout.name, target=target.name)
    confidence = np.stack(sure, axis=-1)
    return SkeletonClip.from_points(
        points, layout=target, fps=clip.fps, units=clip.units, confidence=confidence, label=clip.label,
        spans=clip.spans, **clip.about,
    )  # fmt: skip


def conversions() -> tuple[tuple[str, str], ...]:
    """Every (source, target) that `convert` knows."""
    return tuple(sorted(_recipes("right")))


def find_recipe(source: str, target: str, *, side: Side = "right") -> Recipe:
    """Which source joints make each target joint; `UsageError` when the pair is not known."""
    recipes = _recipes(side)
    if (source, target) not in recipes:
        known = ", ".join(sorted(end for start, end in recipes if start == source)) or "nothing"
        raise UsageError(f"no conversion from {source} to {target}", expected=f"{source} converts to {known}")
    return recipes[source, target]


@lru_cache(maxsize=2)
def _recipes(side: Side) -> dict[tuple[str, str], Recipe]:
    hand = [(joint,) for joint in range(21)]
    to_shrec: Recipe = (hand[0], PALM, *hand[1:])
    recipes: dict[tuple[str, str], Recipe] = {
        (HAND, "shrec22"): to_shrec,
        ("shrec22", HAND): ((0,), *((joint,) for joint in range(2, 22))),
        (HAND, "leap20"): (hand[0], *hand[2:]),
        ("leap20", HAND): ((0,), (0, 1), *((joint,) for joint in range(1, 20))),
        ("shrec22", "leap20"): ((0,), *((joint,) for joint in range(3, 22))),
        ("ntu25", "kinect20"): _by_name("ntu25", "kinect20", NTU_TO_KINECT),
        ("openpose137", HOLISTIC): _by_name("openpose137", HOLISTIC, OPENPOSE_BODY),
        (FACED, HOLISTIC): _by_name(FACED, HOLISTIC),
        (HOLISTIC, BODY): _by_name(HOLISTIC, BODY),
        (FACED, BODY): _by_name(FACED, BODY),
        (HOLISTIC, "openpose137"): _by_means(HOLISTIC, "openpose137", OPENPOSE_OF_POSE),
        (FACED, "openpose137"): _by_means(FACED, "openpose137", OPENPOSE_OF_POSE | OPENPOSE_FACE_OF_MESH),
    }
    for sensor, made_of in (("kinect20", KINECT_OF_POSE), ("ntu25", NTU_OF_POSE)):
        recipes[BODY, sensor] = _by_means(BODY, sensor, made_of)
        for whole in (HOLISTIC, FACED):
            recipes[whole, sensor] = _by_means(whole, sensor, made_of)
    for whole in (HOLISTIC, FACED, "openpose137"):
        recipes[whole, HAND] = _by_name(whole, HAND, prefix=f"{side}_hand_")
        origins = recipes[whole, HAND]  # both conversions are exact, so means stay means
        recipes[whole, "leap20"] = (origins[0], *origins[2:])
        recipes[whole, "shrec22"] = tuple(tuple(at for joint in joints for at in origins[joint]) for joints in to_shrec)
    return recipes


def _by_name(source: str, target: str, renamed: dict[str, str] | None = None, *, prefix: str = "") -> Recipe:
    """Joints of one name are the same; `renamed` maps target names to source names."""
    place = {name: number for number, name in enumerate(get_layout(source).names)}
    wanted = [(renamed or {}).get(name, prefix + name) for name in get_layout(target).names]
    return tuple((place[name],) if name in place else () for name in wanted)


def _by_means(source: str, target: str, made_of: dict[str, tuple[str, ...]]) -> Recipe:
    """Joints of one name are the same; `made_of` names the source joints whose mean another one is; others lack."""
    place = {name: number for number, name in enumerate(get_layout(source).names)}
    wanted = (made_of.get(name, (name,)) for name in get_layout(target).names)
    return tuple(tuple(place[part] for part in parts) if place.keys() >= set(parts) else () for parts in wanted)
