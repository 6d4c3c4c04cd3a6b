"""MediaPipe landmarks as people keep them: arrays a frame or a clip, tables of hand shapes, parquet files."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.arrays import map_npy
from last_edge.clips.pose_file import FACE_POINTS
from last_edge.data.readers.archive import decoded, locate, members, numbers, one_file, size_of_image, table_rows
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Layout, SkeletonClip, get_layout

Points = NDArray[np.float32]
SHOWN = 5
logger = logging.getLogger(__name__)

POSE, HAND, FACE = 33, 21, 468
HAND_LAYOUT, HOLISTIC, FACED = "mediapipe_hand21", "mediapipe_holistic75", "mediapipe_holistic83"
POINTS_A_HAND = 3 * HAND
KINDS = {1662: FACED, 258: HOLISTIC, 225: HOLISTIC, 126: "hands"} | dict.fromkeys((63, 84, 99, 100), HAND_LAYOUT)
"""Numbers a frame, and the layout they are read as."""

FARTHEST = 1e6
LONGEST = 100_000
MIRRORED = ("yes", "no")


def read_mediapipe_npy(
    source: Path, *, image_size: str = "640x480", fps: float = 30.0, mirrored: str = "no", side: str = "right"
) -> Iterator[SkeletonClip]:
    """Clips of numpy arrays, as popular sign-language tutorials write them.

    A file a frame, `WORD/SEQUENCE/FRAME.npy`, or a file a clip, `WORD/NAME.npy` of (T, numbers), or one file of many
    clips (N, T, 84 | 99 | 100) whose last number is the label, or a file a clip of a hand (T, 21, 2 | 3). A frame whose
    number is absent is one without points. Numbers a frame: 1662 (33 pose points x, y, z,
    visibility, 468 of the face, both hands), 258 (pose and hands), 225 (pose without visibility and hands), 126 (both
    hands), 63 (one hand), 84, 99, 100 (one hand with visibility, and what else: 15 angles and the label). x and y are
    fractions of the image, whose size makes them image heights; a point of zeros is missing. mirrored: `yes` for
    pictures that were flipped before, as selfie views are; points are flipped back, hands and all. side: which hand of
    126 numbers is kept as the one of `mediapipe_hand21`.
    """
    _check(mirrored, MIRRORED, "--mirrored")
    _check(side, ("left", "right"), "--side")
    width, height = size_of_image(image_size)
    how = _How(width / height, fps, mirrored == "yes", side)
    paths = sorted(source.rglob("*.npy")) if source.is_dir() else [source]
    if not paths or not source.exists():
        raise InputError("no .npy file found", where=source)
    single: dict[Path, list[tuple[int, Path]]] = {}
    for path in paths:
        with one_file():
            rows = _numbers_of(path)
            if rows.ndim == 1:
                if not re.fullmatch(r"\d+", path.stem):
                    raise InputError(
                        "a frame's file is named by its number", where=path, expected="WORD/SEQUENCE/0.npy"
                    )
                single.setdefault(path.parent, []).append((int(path.stem), path))
            elif rows.ndim == 2:
                yield how.clip(rows, path, label=_folder(path, source), source_id=_name(path, source))
            elif rows.ndim == 3 and rows.shape[2] in (84, 99, 100):
                for number, clip in enumerate(rows):
                    label = str(int(clip[0, -1])) if rows.shape[2] == 100 else _folder(path, source)
                    yield how.clip(clip, path, label=label, source_id=f"{_name(path, source)}/{number:05d}")
            elif rows.ndim == 3 and rows.shape[1:] in ((HAND, 2), (HAND, 3)):
                about = {"label": _folder(path, source), "source_id": _name(path, source)}
                joints = get_layout(HAND_LAYOUT)
                yield finished(narrow(rows), joints, aspect=how.aspect, fps=fps, mirrored=how.mirrored, **about)
            else:
                expected = "(numbers,), (T, numbers), (T, 21, 2 | 3) or (N, T, 84 | 99 | 100)"
                raise InputError("an array of the wrong shape", where=path, expected=expected, got=rows.shape)
    for folder, frames in sorted(single.items()):
        with one_file():
            found = [_numbers_of(path) for _, path in sorted(frames)]
            if len({len(row) for row in found}) > 1:
                raise InputError("frames of different kinds", where=folder, got=sorted({len(row) for row in found}))
            order = np.array([number for number, _ in sorted(frames)])
            places = order - order[0]
            if places[-1] >= LONGEST:
                raise InputError("frame numbers lie too far apart", where=folder, expected=LONGEST, got=order[-1])
            whole = np.zeros((int(places[-1]) + 1, len(found[0])))
            whole[places] = found
            if absent := len(whole) - len(found):
                logger.warning("%d frames are absent and taken for not seen: %s", absent, folder)
            yield how.clip(whole, folder, label=_folder(folder, source), source_id=_name(folder, source))


@dataclass(frozen=True)
class _How:
    """What turns rows of numbers into clips."""

    aspect: float
    fps: float
    mirrored: bool
    side: str

    def clip(self, rows: NDArray[Any], where: Path, *, label: str | None, source_id: str) -> SkeletonClip:
        """A clip of rows (T, numbers)."""
        kind = KINDS.get(rows.shape[1])
        if kind is None:
            raise InputError("another number of numbers", where=where, expected=sorted(KINDS), got=rows.shape[1])
        points, layout = _split(narrow(rows), kind, self.side)
        return finished(
            points, layout, aspect=self.aspect, fps=self.fps, mirrored=self.mirrored, label=label, source_id=source_id
        )


def finished(
    points: Points, layout: Layout, *, aspect: float, fps: float, mirrored: bool, **about: str | None
) -> SkeletonClip:
    """A clip of points (T, V, C) in image fractions: zeros missing, image heights, a mirrored picture flipped back."""
    if np.isinf(points).any() or np.nanmax(np.abs(points), initial=0) > FARTHEST:
        raise InputError("a point far outside", where=about["source_id"], expected=f"within {FARTHEST:g} images")
    missing = (points == 0).all(-1) | np.isnan(points).any(-1)
    scaled = np.where(missing[..., None], np.nan, points).astype(np.float32)
    if mirrored:
        scaled = scaled[:, list(layout.mirror)]
        scaled[..., 0] = 1 - scaled[..., 0]
    scaled[..., 0] *= aspect
    if scaled.shape[-1] == 3:
        scaled[..., 2] *= aspect
    return SkeletonClip.from_points(scaled[None], layout=layout, fps=fps, units="image01", **about)  # type: ignore[arg-type]


def _split(rows: Points, kind: str, side: str) -> tuple[Points, Layout]:
    """Points (T, V, 3) of rows of numbers, and their layout."""
    count = rows.shape[1]
    if kind == HAND_LAYOUT:
        size = 3 if count == POINTS_A_HAND else 4
        return rows[:, : HAND * size].reshape(-1, HAND, size)[..., :3], get_layout(HAND_LAYOUT)
    hands = rows[:, -2 * POINTS_A_HAND :].reshape(-1, 2 * HAND, 3)
    if kind == "hands":
        return hands[:, :HAND] if side == "left" else hands[:, HAND:], get_layout(HAND_LAYOUT)
    size = 3 if count == 225 else 4
    pose = rows[:, : POSE * size].reshape(-1, POSE, size)[..., :3]
    parts = [pose, hands]
    if kind == FACED:
        face = rows[:, 4 * POSE : 4 * POSE + 3 * FACE].reshape(-1, FACE, 3)
        parts.append(face[:, list(FACE_POINTS)])
    return np.concatenate(parts, axis=1), get_layout(kind)


def read_landmark_csv(
    source: Path, *, label_file: Path | None = None, image_size: str = "640x480", mirrored: str = "no", frames: int = 1,
    fps: float = 30.0,
) -> Iterator[SkeletonClip]:  # fmt: skip
    """Clips of tables with one hand a row, as gesture-control projects write them.

    A row is a label and 42 (x, y) or 63 (x, y, z) numbers of a hand, with a heading (`label,x0,y0,…` in any order of
    columns) or without one (label first); or `point_history`: a label and 16 x, y pairs of one finger tip. label_file:
    a file with a name a line, for labels that are numbers. A static shape becomes a clip of `frames` equal frames.
    A row that cannot be read is left out and named, as damaged files are. Values between 0 and 1 are fractions of the
    image; others are taken as they are, relative to the wrist. For mirrored see `read_mediapipe_npy`.
    """
    _check(mirrored, MIRRORED, "--mirrored")
    if frames < 1:
        raise UsageError("a clip needs a frame", got=frames)
    width, height = size_of_image(image_size)
    names = None if label_file is None else _label_file(label_file)
    found = False
    for name, content in members(source, lambda name: name.endswith((".csv", ".tsv"))):
        where = locate(source, name)
        delimiter = "\t" if name.endswith(".tsv") else max(",;", key=content[:2000].decode(errors="replace").count)
        rows = enumerate(_rows(content, where, delimiter))
        with one_file():
            for number, (place, label, cells) in rows:
                found = True
                with one_file():
                    points, layout = _shape(numbers(cells, place), place)
                    inside = float(np.nanmin(points[..., :2])) >= 0 and float(np.nanmax(points[..., :2])) <= 1
                    yield finished(
                        np.repeat(points, frames, axis=0) if len(points) == 1 else points, layout,
                        aspect=width / height if inside else 1.0, fps=fps, mirrored=mirrored == "yes",
                        label=label if names is None else _named(label, names, place),
                        source_id=f"{PurePosixPath(name).with_suffix('')}/{number:06d}",
                    )  # fmt: skip
    if not found:
        raise InputError("no row in any .csv or .tsv", where=source)


def _rows(content: bytes, where: str, delimiter: str) -> Iterator[tuple[str, str, list[str]]]:
    """(place, label, cells) of each row, the cells of numbers in the order x0, y0, z0, x1, …"""
    text = decoded(content, where)
    first = text.partition("\n")[0].strip().split(delimiter)
    if any(re.fullmatch(r"[xyz]_?\d+", cell.strip()) for cell in first):
        columns = {cell.strip(): place for place, cell in enumerate(first)}
        axes = "xyz" if any(cell.startswith("z") for cell in columns) else "xy"
        matches = {cell: re.fullmatch(r"([xyz])_?(\d+)", cell) for cell in columns}
        found = {(int(match[2]), match[1]): cell for cell, match in matches.items() if match}
        order = [found.get((joint, axis)) for joint in sorted({joint for joint, _ in found}) for axis in axes]
        if None in order or "label" not in columns:
            raise InputError("columns are absent", where=where, expected="label, x0, y0, … of every point")
        needed = tuple(str(cell) for cell in order)
        for place, row in table_rows(content, where, needed=("label", *needed), more=None, delimiter=delimiter):
            yield place, row["label"], [row[cell] for cell in needed]
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            label, *cells = (cell.strip() for cell in line.split(delimiter))
            yield f"{where}:{number}", label, cells


def _shape(values: list[float], where: str) -> tuple[Points, Layout]:
    """Points (T, V, C) of a row, and their layout."""
    row = np.array(values, np.float32)
    if len(row) in (2 * HAND, 3 * HAND):
        return row.reshape(1, HAND, -1), get_layout(HAND_LAYOUT)
    if len(row) in (32, 64):
        tip = np.full((16, HAND, 2), np.nan, np.float32)
        tip[:, 8] = row.reshape(16, -1)[:, :2]
        return tip, get_layout(HAND_LAYOUT)
    expected = "42 or 63, or 32 or 64 of a history"
    raise InputError("another number of numbers", where=where, expected=expected, got=len(row))


def _label_file(path: Path) -> list[str]:
    try:
        text = decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError("label file cannot be read", where=path, got=error) from error
    return [line.split(",")[-1].strip() for line in text.splitlines() if line.strip()]


def _named(label: str, names: list[str], where: str) -> str:
    if not label.isdecimal() or int(label) >= len(names):
        raise InputError("label is not in the label file", where=where, expected=f"0 to {len(names) - 1}", got=label)
    return names[int(label)]


def read_asl_signs(
    source: Path, *, fps: float = 30.0, aspect: float = 1.0, layout: str = HOLISTIC
) -> Iterator[SkeletonClip]:
    """Clips of the "Google - Isolated Sign Language Recognition" competition: `train.csv` and its parquet files.

    543 rows a frame (face 468, left hand 21, pose 33, right hand 21) with x, y, z in fractions of the image, whose
    aspect (width / height) the files do not say. participant_id is the subject, sign the label.
    """
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    if layout not in (HOLISTIC, FACED, HAND_LAYOUT):
        raise UsageError("another layout", expected=f"{HOLISTIC}, {FACED} or {HAND_LAYOUT}", got=layout)
    table = source / "train.csv"
    if not table.is_file():
        raise InputError("the competition's table is absent", where=source, expected="train.csv")
    needed = ("path", "participant_id", "sequence_id", "sign")
    unlisted = {path.relative_to(source).as_posix() for path in source.rglob("*.parquet")}
    for place, row in table_rows(table.read_bytes(), str(table), needed=needed, more=None):
        unlisted.discard(row["path"])
        with one_file():
            path = source / row["path"]
            if not path.resolve().is_relative_to(source.resolve()):
                raise InputError("a path leaves the folder", where=place, got=row["path"])
            if not path.is_file():
                raise InputError("a clip of the table is absent", where=place, expected=path)
            try:
                found = parquet.read_table(path, columns=["frame", "type", "landmark_index", "x", "y", "z"])
            except (OSError, ArrowException) as error:
                raise InputError("not a parquet file of the competition", where=path, got=str(error)[:200]) from error
            points = _of_parts({name: found.column(name).to_numpy() for name in found.column_names}, path, layout)
            yield finished(
                points, get_layout(layout), aspect=aspect, fps=fps, mirrored=False, label=row["sign"],
                subject=row["participant_id"], source_id=row["sequence_id"],
            )  # fmt: skip
    if unlisted:
        names = ", ".join(sorted(unlisted)[:SHOWN])
        logger.warning("%d files without a row in train.csv, left out: %s", len(unlisted), names)


def _of_parts(columns: dict[str, NDArray[Any]], where: Path, layout: str) -> Points:
    """(T, V, 3) of the competition's rows; `InputError` where a part has another number of points."""
    kinds, sizes = columns["type"].astype(str), {"pose": POSE, "left_hand": HAND, "right_hand": HAND, "face": FACE}
    frames, which = np.unique(columns["frame"], return_inverse=True)
    values = np.stack([narrow(columns[axis]) for axis in "xyz"], axis=-1)
    parts = {}
    for name, size in sizes.items():
        rows = kinds == name
        index = columns["landmark_index"][rows].astype(np.int64)
        if len(index) != size * len(frames) or (len(index) and (index.min() < 0 or index.max() >= size)):
            raise InputError(f"points of {name} are absent", where=where, expected=size * len(frames), got=len(index))
        parts[name] = np.full((len(frames), size, 3), np.nan, np.float32)
        parts[name][which[rows], index] = values[rows]
    if not len(frames):
        raise InputError("a clip without frames", where=where)
    if layout == HAND_LAYOUT:
        seen = {name: int((~np.isnan(parts[name][:, 0, 0])).sum()) for name in ("right_hand", "left_hand")}
        return parts[max(seen, key=lambda name: seen[name])]
    order = [parts["pose"], parts["left_hand"], parts["right_hand"]]
    return np.concatenate([*order, parts["face"][:, list(FACE_POINTS)]] if layout == FACED else order, axis=1)


def narrow(values: NDArray[Any]) -> Points:
    """float32; what does not fit is infinite, and refused later."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)


def _numbers_of(path: Path) -> NDArray[Any]:
    """A .npy of numbers in one, two or three axes."""
    for dtype in (np.float64, np.float32):
        try:
            found = map_npy(path, dtype, of="MediaPipe arrays")
        except InputError as error:
            if "does not fit" in str(error) and dtype is np.float64:
                continue
            raise
        if found.ndim not in (1, 2, 3) or not found.size or not np.isfinite(found).all():
            raise InputError("not finite numbers", where=path, expected="1 to 3 axes", got=found.shape)
        return found
    raise AssertionError


def _folder(path: Path, source: Path) -> str | None:
    """The label: the first folder below the source."""
    parts = path.relative_to(source).parts if source.is_dir() else ()
    return parts[0] if len(parts) > 1 else None


def _name(path: Path, source: Path) -> str:
    return path.relative_to(source).with_suffix("").as_posix() if source.is_dir() else path.stem


def _check(value: str, allowed: tuple[str, ...], flag: str) -> None:
    if value not in allowed:
        raise UsageError(f"{flag} is {' or '.join(allowed)}", got=value)
