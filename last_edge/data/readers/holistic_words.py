"""Webcam words as MediaPipe Holistic landmarks: `signer_*.npz`, one file a recorder, or one file of many recorders."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import check_lengths, load_arrays, locate, members, need, one_file, size_of_image
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout

LAYOUTS = ("mediapipe_holistic75", "mediapipe_holistic83")
SMALLEST_VISIBILITY = 1e-3
FILE_NAME = re.compile(r"(?:^|/)(?:signer_([A-Za-z0-9]+)|signs_\w+)\.npz$")
SHAPES = {"pose": (33, 4), "left_hand": (21, 3), "right_hand": (21, 3), "face8": (8, 3)}


def read_holistic_words(
    source: Path, *, layout: str = LAYOUTS[0], image_size: str = "640x480", fps: float = 30.0,
    words: tuple[str, ...] = (),
) -> Iterator[SkeletonClip]:  # fmt: skip
    """Clips of every recorder; there is no official split. words: only these labels; empty takes all.

    `signer_NAME.npz` holds `lens`, `labels`, `seq` of one recorder, absent hands as zeros; `signs_NAME.npz` holds
    `lengths`, `labels`, `subjects` of many, absent points as NaN.
    image_size: width x height of the recordings, needed because the file's x and z count image widths and its y image
    heights. Nothing in the files says it; 640x480 is the usual webcam, and only with 4:3 do the faces have human
    proportions. fps is not recorded either. An absent hand (all zeros) becomes missing points; confidence is the
    body points' visibility and 1 for hands and face. Raises `InputError`.
    """
    if layout not in LAYOUTS:
        raise UsageError("layout not in this data", expected=" or ".join(LAYOUTS), got=layout)
    width, height = size_of_image(image_size)
    stretch = np.array([width / height, 1.0, width / height], np.float32)
    found = False
    for name, content in members(source, lambda name: FILE_NAME.search(name) is not None):
        found, signer, where = True, FILE_NAME.search(name), locate(source, name)
        with one_file():
            clips = _clips(load_arrays(content, where), signer[1] if signer else None, where, layout, stretch, fps)
            yield from (clip for clip in clips if not words or clip.label in words)
    if not found:
        raise InputError("no recordings found", where=source, expected="signer_*.npz or signs_*.npz")


def _clips(
    arrays: dict[str, NDArray[Any]], signer: str | None, where: str, layout: str, stretch: NDArray[np.float32],
    fps: float,
) -> Iterator[SkeletonClip]:  # fmt: skip
    """Of one file. signer: whose it is, None where the file names a recorder for each clip."""
    points, confidence = _points(arrays, where, face=layout.endswith("83"), nan_is_absent=signer is None)
    lengths = check_lengths(need(arrays, "lens" if signer else "lengths", where), len(points), where)
    labels = need(arrays, "labels", where)
    people = np.full(len(lengths), signer) if signer else need(arrays, "subjects", where)
    numbers = need(arrays, "seq", where) if signer else np.arange(len(lengths))
    if not labels.shape == numbers.shape == people.shape == lengths.shape:
        got = (labels.shape, numbers.shape, people.shape)
        raise InputError("labels do not fit the clips", where=where, expected=lengths.shape, got=got)
    ends = np.cumsum(lengths)
    columns = (people.tolist(), labels.tolist(), numbers.tolist(), lengths.tolist(), ends.tolist())
    for person, label, number, length, end in zip(*columns, strict=True):
        rows = slice(end - length, end)
        yield SkeletonClip.from_points(
            points[None, rows] * stretch, layout=get_layout(layout), fps=fps, units="image01",
            confidence=confidence[None, rows], label=str(label), subject=str(person),
            source_id=f"signer_{person}/{label}/{number}",
        )  # fmt: skip


def _points(
    arrays: dict[str, NDArray[Any]], where: str, *, face: bool, nan_is_absent: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(F, V, 3) points, NaN where a whole part is absent, and (F, V) confidence."""
    parts = {
        name: _part(arrays, name, where, nan_is_absent=nan_is_absent) for name in SHAPES if face or name != "face8"
    }
    if len({len(part) for part in parts.values()}) != 1:
        raise InputError("parts of different length", where=where, got={name: len(p) for name, p in parts.items()})
    points = np.concatenate([part[..., :3] for part in parts.values()], axis=1)
    visible = np.nan_to_num(parts["pose"][..., 3]).clip(SMALLEST_VISIBILITY, 1.0)
    rest = np.ones((len(points), points.shape[1] - 33), np.float32)
    return points, np.concatenate([visible, rest], axis=1)


def _part(arrays: dict[str, NDArray[Any]], name: str, where: str, *, nan_is_absent: bool) -> NDArray[np.float32]:
    part = need(arrays, name, where)
    if part.ndim != 3 or part.shape[1:] != SHAPES[name]:
        raise InputError("wrong joint count", where=f"{where} › {name}", expected=("F", *SHAPES[name]), got=part.shape)
    if np.isinf(part).any() or (np.isnan(part).any() and not nan_is_absent):
        raise InputError("NaN or infinite point", where=f"{where} › {name}")
    absent = np.asarray((part[..., :3] == 0).all(axis=(1, 2)))
    return np.where(absent[:, None, None], np.nan, part).astype(np.float32)
