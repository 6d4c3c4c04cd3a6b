"""Reading `.pose` files (the pose-format project) as clips: MediaPipe Holistic and OpenPose points."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, MissingError
from last_edge.skeleton import Layout, SkeletonClip, get_layout
from last_edge.skeleton.convert import convert_clip
from last_edge.skeleton.people import people_of

# Nose tip, mouth corners, chin, inner brows, outer eye corners: indices into MediaPipe's face mesh.
FACE_POINTS = (1, 61, 291, 152, 107, 336, 33, 263)
OPENPOSE_PARTS = (
    ("pose_keypoints_2d", 0, 25),
    ("hand_left_keypoints_2d", 25, 21),
    ("hand_right_keypoints_2d", 46, 21),
    ("face_keypoints_2d", 67, 70),
)
FRAME_COUNT_WRAP = 2**16
"""Version 0.1 stores the frame count in 16 bits."""
MEDIAPIPE_HANDS = (("LEFT_HAND_LANDMARKS", 33), ("RIGHT_HAND_LANDMARKS", 54))


def read_pose(path: Path, *, layout: Layout | None = None, **about: str | None) -> SkeletonClip:
    """A `.pose` file as a clip (M people, T, V, C) in `image01`: pixels divided by the image height, y down.

    MediaPipe's z, which the file keeps in image widths, is brought to image heights too.

    layout: None takes the file's own, `mediapipe_holistic83` or `openpose137`; another is converted to. A point the
    file does not have, or has with confidence 0, is missing. Raises `InputError` naming a damaged or empty file.
    """
    if not path.is_file():
        raise InputError("no such file", where=path)
    return pose_clip(path.read_bytes(), str(path), layout=layout, **about)  # type: ignore[arg-type]


def pose_clip(
    content: bytes, where: str, *, layout: Layout | None = None, person: str | None = None,
    notice: Callable[[str], None] = lambda text: None, **about: str | None,
) -> SkeletonClip:  # fmt: skip
    """As `read_pose`, from a file's bytes; `where` names it in errors.

    person: who is kept of several, see `last_edge.skeleton.people`; None keeps all.
    """
    pose = _parse(content, where)
    data, confidence = _body(pose, where)
    columns = {component.name: start for component, start in _starts(pose)}
    if "pose_keypoints_2d" in columns:
        native, places = get_layout("openpose137"), _openpose_places(pose)
    elif any(name.endswith("_LANDMARKS") for name in columns):
        native, places = get_layout("mediapipe_holistic83"), _mediapipe_places(pose)
        data[..., 2:] *= pose.header.dimensions.width  # pose-format stores [x * width, y * height, z]
    else:
        raise InputError("points of an unknown kind", where=where, got=", ".join(columns))
    points = np.full((*data.shape[:2], native.joints, data.shape[-1]), np.nan, np.float32)
    sure = np.zeros(points.shape[:-1], np.float32)
    for joint, column in places.items():
        points[:, :, joint], sure[:, :, joint] = data[:, :, column], confidence[:, :, column]
    if person is not None:
        known = np.concatenate([points, np.where(sure > 0, sure, np.nan)[..., None]], axis=-1)
        how: dict[str, Any] = {"fps": float(pose.body.fps), "middle": _middle(pose), "notice": notice}
        (one,) = people_of(known, person=person, **how)
        points, sure = one[None, ..., :-1], np.nan_to_num(one[None, ..., -1])
    clip = SkeletonClip.from_points(
        points, layout=native, fps=float(pose.body.fps), units="image01", confidence=sure, **about
    )
    return clip if layout is None else convert_clip(clip, layout)


def picture_middle(path: Path) -> float:
    """x of the middle of the picture that a file's points were seen in, in image heights."""
    return _middle(_parse(path.read_bytes(), str(path)))


def _middle(pose: Any) -> float:
    return float(pose.header.dimensions.width / max(pose.header.dimensions.height, 1) / 2)


def _parse(content: bytes, where: str) -> Any:
    try:
        from pose_format import Pose
    except ImportError as error:
        raise MissingError(".pose files need pose-format", hint="pip install 'last-edge[runtime]'") from error
    try:
        _check_whole(content, where)
        return Pose.read(content)
    except InputError:
        raise
    except Exception as error:  # the library raises almost anything on a damaged file
        raise InputError("damaged .pose file", where=where, got=f"{type(error).__name__}: {error}") from error


def _check_whole(content: bytes, where: str) -> None:
    """Version 0.1 reads as many frames as there are bytes, and a truncated file as other points without an error."""
    from pose_format.pose_header import PoseHeader
    from pose_format.utils.reader import BufferReader

    reader = BufferReader(content)
    header = PoseHeader.read(reader)
    if round(header.version, 3) != 0.1:
        return
    _, frames, people = struct.unpack_from("<HHH", content, reader.read_offset)
    points = sum(len(component.points) for component in header.components)
    per_frame = people * points * (header.num_dims() + 1) * 4
    body = len(content) - reader.read_offset - struct.calcsize("<HHH")
    if body % max(per_frame, 1) or (body // max(per_frame, 1) - frames) % FRAME_COUNT_WRAP:
        raise InputError("truncated .pose file", where=where, expected=f"{frames * per_frame} bytes", got=body)


def _body(pose: Any, where: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(M, T, points, C) in image heights and (M, T, points) in 0..1."""
    data = np.asarray(np.ma.getdata(pose.body.data), np.float32)
    confidence = np.asarray(pose.body.confidence, np.float32)
    height = pose.header.dimensions.height
    if data.ndim != 4 or 0 in data.shape or height <= 0 or not pose.body.fps > 0:
        raise InputError("empty .pose file", where=where, got=f"{data.shape}, height {height}, {pose.body.fps} fps")
    if not np.isfinite(data[confidence > 0]).all() or not np.isfinite(confidence).all():
        raise InputError("NaN or infinite point", where=where)
    seen = np.where((confidence > 0)[..., None], data / np.float32(height), np.nan)
    return seen.swapaxes(0, 1).astype(np.float32), confidence.clip(0, 1).swapaxes(0, 1)


def _starts(pose: Any) -> list[tuple[Any, int]]:
    """Each component and the column of its first point."""
    sizes = [len(component.points) for component in pose.header.components]
    return list(zip(pose.header.components, np.cumsum([0, *sizes]).tolist(), strict=False))


def _openpose_places(pose: Any) -> dict[int, int]:
    """Joint of `openpose137` -> column of the file."""
    found = {component.name: (start, len(component.points)) for component, start in _starts(pose)}
    places: dict[int, int] = {}
    for name, first, count in OPENPOSE_PARTS:
        start, size = found.get(name, (0, 0))
        places |= {first + point: start + point for point in range(min(count, size))}
    return places


def _mediapipe_places(pose: Any) -> dict[int, int]:
    """Joint of `mediapipe_holistic83` -> column of the file, by point name: files may hold a part of the points."""
    body = {name.upper(): joint for joint, name in enumerate(get_layout("mediapipe_pose33").names)}
    face = {str(name): 75 + number for number, name in enumerate(FACE_POINTS)}
    hand = {name.upper(): joint for joint, name in enumerate(get_layout("mediapipe_hand21").names)}
    tables = {"POSE_LANDMARKS": body, "FACE_LANDMARKS": face}
    tables |= {name: {point: first + joint for point, joint in hand.items()} for name, first in MEDIAPIPE_HANDS}
    places: dict[int, int] = {}
    for component, start in _starts(pose):
        table = tables.get(component.name, {})
        names = [point.replace("_FINGER", "") for point in component.points]
        places |= {table[name]: start + at for at, name in enumerate(names) if name in table}
    return places
