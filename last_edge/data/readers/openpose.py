"""OpenPose's JSON: a file a frame with all people, and Kinetics-skeleton's file a clip."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.data.readers.archive import locate, members, one_file, size_of_image
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Layout, SkeletonClip, get_layout
from last_edge.skeleton.people import check_person, follow_clip

Points = NDArray[np.float32]

FRAME = re.compile(r"(?P<clip>.*?)(?:^|[/_.-])(?P<frame>\d+)_keypoints\.json$")
BODIES = {18: "coco18", 25: "body25"}
PARTS = {"hand_left_keypoints_2d": 21, "hand_right_keypoints_2d": 21, "face_keypoints_2d": 70}
WHOLE = "openpose137"
WITH_HANDS, WITH_FACE = 25 + 42, 25 + 42 + 70
LONGEST = 1_000_000
logger = logging.getLogger(__name__)


@dataclass
class Recording:
    """Frames of a clip by number, each (people, joints, 3) x, y, score in pixels."""

    where: str
    frames: dict[int, Points] = field(default_factory=dict)


def read_openpose(
    source: Path, *, image_size: str | None = None, fps: float = 30.0, bodies: int = 1, person: str = "largest"
) -> Iterator[SkeletonClip]:
    """Clips of folders `LABEL/CLIP/..._000000000012_keypoints.json` as OpenPose writes them (`--write_json`).

    The last folder is the clip, the one above it its label; the first number may be any, and frames that are absent or
    show nobody are frames without points. BODY_25, COCO, and BODY_25 with hands (`openpose137`, its face missing where
    the files have none). People are followed by place from frame to frame; `bodies` of them are kept, first the one
    that `person` means (`last_edge.skeleton.people`). Points become image heights, y down; image_size is WIDTHxHEIGHT.
    A score of 0 is a missing point.
    """
    if image_size is None:
        raise UsageError("OpenPose's files do not say how large the images were", hint="--image-size 1280x720")
    size, whom = size_of_image(image_size), check_person(person)
    clips: dict[str, Recording] = {}
    for name, content in members(source, lambda name: name.endswith("_keypoints.json")):
        where, match = locate(source, name), FRAME.match(name)
        if match is None:
            raise InputError("no frame number in the name", where=where, expected="NAME_000000000000_keypoints.json")
        folder = PurePosixPath(name).parent.as_posix()
        clip = folder if folder != "." else PurePosixPath(match["clip"]).name
        recording = clips.setdefault(clip, Recording(where))
        number = int(match["frame"])
        if number in recording.frames:
            raise InputError("a frame twice", where=where, got=number)
        recording.frames[number] = np.zeros((0, 0, 3), np.float32)
        with one_file():
            recording.frames[number] = people_of(content, where)
    if not clips:
        raise InputError("no OpenPose file found", where=source, expected="*_keypoints.json")
    for clip, recording in clips.items():
        yield _assembled(clip, recording, size=size, fps=fps, bodies=bodies, person=whom)


def people_of(content: bytes, where: str) -> Points:
    """(people, joints, 3) of one frame: body, and both hands where the file has them; joints 0 where nobody is."""
    found = records.parse_json(content, where=where)
    people = found.get("people") if isinstance(found, Mapping) else None
    if not isinstance(people, list):
        raise InputError("not a file of OpenPose", where=where, expected="a mapping with `people`")
    rows = []
    for person in people:
        if not isinstance(person, Mapping):
            raise InputError("not a file of OpenPose", where=where, got=type(person).__name__)
        body = _triples(person.get("pose_keypoints_2d"), where)
        parts = {part: _triples(person.get(part, []), where) for part in PARTS}
        odd = [part for part, size in PARTS.items() if len(parts[part]) not in (0, size)]
        if len(body) not in BODIES or odd:
            expected = "25 or 18 points of a body, 21 a hand, 70 of a face"
            raise InputError("another number of points", where=where, expected=expected, got=odd or len(body))
        rows.append(np.concatenate([body, *parts.values()]))
    if len({len(row) for row in rows}) > 1:
        raise InputError("people with different numbers of points", where=where)
    return np.stack(rows) if rows else np.zeros((0, 0, 3), np.float32)


def _assembled(
    clip: str, recording: Recording, *, size: tuple[int, int], fps: float, bodies: int, person: str
) -> SkeletonClip:
    numbers = sorted(recording.frames)
    counts = {people.shape[1] for people in recording.frames.values() if len(people)}
    if len(counts) > 1:
        raise InputError("frames with different numbers of points", where=recording.where, got=sorted(counts))
    joints = counts.pop() if counts else 25
    if numbers[-1] - numbers[0] > LONGEST:
        raise InputError("frame numbers lie too far apart", where=recording.where, expected=LONGEST, got=numbers[-1])
    nobody = np.zeros((0, joints, 3), np.float32)
    frames = [recording.frames.get(number, nobody) for number in range(numbers[0], numbers[-1] + 1)]
    (width, height), unit = size, np.array([size[1], size[1], 1], np.float32)
    tracks = follow_clip(
        [np.where(people[..., 2:] > 0, people / unit, np.nan).astype(np.float32) for people in frames],
        fps=fps, person=person, bodies=bodies, middle=width / height / 2,
        notice=lambda text: logger.warning("%s: %s", recording.where, text),
    )  # fmt: skip
    rows = np.nan_to_num(np.stack(tracks)) if tracks else np.zeros((1, len(frames), joints, 3), np.float32)
    layout, points, score = _in_layout(rows, recording.where)
    missing = score <= 0
    path, sure = PurePosixPath(clip), np.where(missing, 0, np.clip(score, 0, 1)).astype(np.float32)
    return SkeletonClip.from_points(
        np.where(missing[..., None], np.nan, points).astype(np.float32),
        layout=layout, fps=fps, units="image01", confidence=sure,
        label=path.parent.name or None, source_id=clip,
    )  # fmt: skip


def _in_layout(found: Points, where: str) -> tuple[Layout, Points, Points]:
    """Layout, points (M, T, V, 2) and scores (M, T, V) of triples (M, T, joints, 3)."""
    count = found.shape[2]
    if count == WITH_HANDS:
        found = np.concatenate([found, np.zeros((*found.shape[:2], WITH_FACE - WITH_HANDS, 3), np.float32)], axis=2)
    elif count not in (*BODIES, WITH_FACE):
        expected = "a body of 18 or 25 points, or one of 25 with both hands, with or without face"
        raise InputError("another number of points", where=where, expected=expected, got=count)
    return get_layout(BODIES.get(count, WHOLE)), found[..., :2], found[..., 2]


def read_kinetics(
    source: Path, *, image_size: str = "340x256", fps: float = 30.0, bodies: int = 2
) -> Iterator[SkeletonClip]:
    """Clips of Kinetics-skeleton: a folder a split (`kinetics_train`, `kinetics_val`) of a JSON a clip.

    COCO's 18 points, x and y in fractions of the image, which is taken for 340x256 as its authors resized it; points
    become image heights. The `bodies` with the greatest scores of each frame, in that order, as ST-GCN takes them. A
    point at the origin is missing. The part `val` becomes `test`. A label index below 0 is no label.
    """
    width, height = size_of_image(image_size)
    found = False
    for name, content in members(source, lambda name: name.endswith(".json") and not name.endswith("_label.json")):
        where, path = locate(source, name), PurePosixPath(name)
        found = True
        with one_file():
            clip = records.parse_json(content, where=where)
            if not isinstance(clip, Mapping) or not isinstance(clip.get("data"), list):
                expected = "a mapping with `data` and `label`"
                raise InputError("not a clip of Kinetics-skeleton", where=where, expected=expected)
            rows = _kinetics_frames(clip["data"], bodies, where)
            missing = (rows[..., :2] == 0).all(-1)
            points = rows[..., :2] * np.array([width / height, 1], np.float32)
            folders = "/".join(path.parts[:-1])
            split = "train" if "train" in folders else "test" if "val" in folders else ""
            yield SkeletonClip.from_points(
                np.where(missing[..., None], np.nan, points).astype(np.float32), layout=get_layout("coco18"), fps=fps,
                units="image01", confidence=np.where(missing, 0, np.clip(rows[..., 2], 0, 1)).astype(np.float32),
                label=str(clip["label"]) if clip.get("label") and str(clip.get("label_index", 0)).isdecimal() else None,
                source_id=path.with_suffix("").as_posix(), split=split,
            )  # fmt: skip
    if not found:
        raise InputError("no clip of Kinetics-skeleton found", where=source)


def _kinetics_frames(data: list[Any], bodies: int, where: str) -> Points:
    """(bodies, T, 18, 3) x, y and score of each frame, first frame 1."""
    numbers = [frame.get("frame_index") if isinstance(frame, Mapping) else None for frame in data]
    if not data or not all(isinstance(number, int) and 0 < number < 100_000 for number in numbers):
        raise InputError("frames without number", where=where, expected="frame_index from 1")
    rows = np.zeros((bodies, max(number for number in numbers if number), 18, 3), np.float32)
    for frame in data:
        people = []
        skeleton = frame.get("skeleton", [])
        if not isinstance(skeleton, list):
            raise InputError("not a list of skeletons", where=where, got=type(skeleton).__name__)
        for person in skeleton:
            values = _numbers(person.get("pose", []) if isinstance(person, Mapping) else None, where)
            scores = _numbers(person.get("score", []) if isinstance(person, Mapping) else None, where)
            if len(values) != 36 or len(scores) != 18:
                raise InputError("another number of points", where=where, expected="36 and 18", got=len(values))
            people.append(np.concatenate([values.reshape(18, 2), scores[:, None]], 1))
        for body, row in enumerate(sorted(people, key=lambda row: -float(row[:, 2].sum()))[:bodies]):
            rows[body, frame["frame_index"] - 1] = row
    return rows


def _triples(values: Any, where: str) -> Points:
    array = _numbers(values, where)
    if len(array) % 3:
        raise InputError("points are x, y and score", where=where, expected="a multiple of three", got=len(array))
    return array.reshape(-1, 3)


def _numbers(values: Any, where: str) -> Points:
    """Finite numbers of a JSON list."""
    if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
        raise InputError("not a list of numbers", where=where, got=type(values).__name__)
    try:
        array = np.array(values, np.float32)
    except OverflowError as error:
        raise InputError("a number too large", where=where, got=error) from error
    if not np.isfinite(array).all():
        raise InputError("NaN or infinite point", where=where)
    return array
