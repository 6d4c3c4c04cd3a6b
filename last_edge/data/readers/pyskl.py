"""Skeleton files of graph-network research: PYSKL's annotations, CTR-GCN's and ST-GCN's arrays."""

import io
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from last_edge.arrays import map_npy
from last_edge.data.readers.archive import load_arrays, locate, members, need, one_file
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Layout, SkeletonClip, Units, get_layout, load_layout

Points = NDArray[np.float32]

PLAIN = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict"),
}  # fmt: skip
"""All that a pickle of plain containers and arrays calls for; anything else would be code."""

PERSON = re.compile(r"S\d{3}C\d{3}P(\d{3})R\d{3}A\d{3}")
PARTS = {"train": "train", "val": "test", "test": "test"}
LAYOUTS = {(17, 2): "coco17", (17, 3): "coco17", (25, 3): "ntu25", (18, 2): "coco18", (20, 3): "kinect20"}
FPS = 30.0


class _PlainUnpickler(pickle.Unpickler):
    """Reads containers, numbers, texts and numpy arrays, and refuses to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The few functions that arrays are rebuilt with."""
        if (module, name) not in PLAIN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def plain_pickle(content: bytes, where: str) -> Any:
    """What a pickle of containers and arrays holds; `InputError` for one that would run code, or is damaged."""
    try:
        return _PlainUnpickler(io.BytesIO(content)).load()
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
        MemoryError, ImportError,
    ) as error:  # fmt: skip
        raise InputError("not a pickle of plain arrays", where=where, got=str(error)[:200]) from error


def read_pyskl(
    source: Path, *, split_type: str | None = None, layout: str | None = None, fps: float = FPS
) -> Iterator[SkeletonClip]:
    """Clips of a PYSKL or mmaction2 annotation file (.pkl).

    Each annotation has `keypoint` (M, T, V, C), `label`, `frame_dir` and, of images, `img_shape` (height, width) and
    `keypoint_score` (M, T, V). Points of images become image heights, y down; three axes are metres. A score of 0, or a
    point at the origin, is a missing point. split_type: which of the file's splits, as xsub of `xsub_train` and
    `xsub_val`; its second part is `test`. None takes the only one. layout: None goes by the number of joints.
    """
    ((name, content),) = _one(source, ".pkl")
    where = locate(source, name)
    found = plain_pickle(content, where)
    if not isinstance(found, Mapping) or not isinstance(found.get("annotations"), list):
        expected = "a mapping with `split` and `annotations`"
        raise InputError("not a PYSKL annotation file", where=where, expected=expected, got=type(found).__name__)
    split_of = _splits(found.get("split", {}), split_type, where)
    for number, entry in enumerate(found["annotations"]):
        with one_file():
            place = f"{where} › annotation {number}"
            if not isinstance(entry, Mapping) or not {"keypoint", "label", "frame_dir"} <= set(entry):
                raise InputError("annotation lacks a part", where=place, expected="keypoint, label, frame_dir")
            clip = str(entry["frame_dir"])
            points = _array(entry["keypoint"], place, axes=4)
            joints = _layout_of(points.shape[2:], layout, place)
            score = entry.get("keypoint_score")
            seen = np.ones(points.shape[:3], np.float32) if score is None else _array(score, place, axes=3)
            if seen.shape != points.shape[:3]:
                raise InputError(
                    "keypoint_score does not fit keypoint", where=place, expected=points.shape[:3], got=seen.shape
                )
            units: Units = "metres"
            if points.shape[-1] == 2:
                height, units = _image_height(entry.get("img_shape"), place), "image01"
                points = points / np.float32(height)
            person = PERSON.search(clip)
            yield _clip(
                points, seen, joints, fps=fps, units=units, label=str(entry["label"]), source_id=clip,
                subject=person[1] if person else "", split=split_of.get(clip, ""),
            )  # fmt: skip


def read_ctrgcn(source: Path, *, layout: str | None = None, fps: float = FPS) -> Iterator[SkeletonClip]:
    """Clips of CTR-GCN's .npz (`x_train` (N, T, M·V·3), one-hot `y_train`, `x_test`, `y_test`), or of a folder in
    ST-GCN's form: `train_data.npy` (N, C, T, V, M) and `train_label.pkl`, `val_data.npy` and `val_label.pkl`.

    Frames and bodies of zeros are missing. In metres. layout: `ntu25` unless named.
    """
    joints = get_layout("ntu25") if layout is None else load_layout(layout)
    if source.is_dir() and any(source.rglob("*_data*.npy")):
        yield from _stgcn(source, joints, fps)
        return
    ((name, content),) = _one(source, ".npz")
    where = locate(source, name)
    arrays = load_arrays(content, where)
    for part in ("train", "test"):
        points = need(arrays, f"x_{part}", where)
        classes = _classes(need(arrays, f"y_{part}", where), len(points), f"{where} › y_{part}")
        if points.ndim != 3 or points.shape[2] % (3 * joints.joints):
            expected = f"(N, T, bodies · {3 * joints.joints})"
            raise InputError(
                "points of the wrong shape", where=f"{where} › x_{part}", expected=expected, got=points.shape
            )
        bodies = points.shape[2] // (3 * joints.joints)
        for number, (row, label) in enumerate(zip(points, classes, strict=True)):
            whole = row.reshape(len(row), bodies, joints.joints, 3).transpose(1, 0, 2, 3)
            yield _cut(whole, joints, fps, label=str(label), source_id=f"{part}/{number:06d}", split=part, where=where)


def _stgcn(source: Path, joints: Layout, fps: float) -> Iterator[SkeletonClip]:
    for part, split in PARTS.items():
        for path in sorted(source.rglob(f"{part}_data*.npy")):
            points = map_npy(path, np.float32, of="ST-GCN")
            labels = path.with_name(path.name.replace("_data", "_label")).with_suffix(".pkl")
            if not labels.is_file():
                raise InputError("labels are absent", where=path, expected=labels.name)
            names, numbers = _pair(plain_pickle(labels.read_bytes(), str(labels)), len(points), labels)
            if points.ndim != 5 or points.shape[3] != joints.joints:
                expected = f"(N, C, T, {joints.joints}, M)"
                raise InputError("points of the wrong shape", where=path, expected=expected, got=points.shape)
            for row, name, label in zip(points, names, numbers, strict=True):
                whole = np.asarray(row).transpose(3, 1, 2, 0)
                person = PERSON.search(name)
                subject = person[1] if person else ""
                yield _cut(
                    whole, joints, fps, label=str(label), source_id=name, split=split, where=path, subject=subject
                )


def _pair(found: Any, count: int, where: object) -> tuple[list[str], list[int]]:
    """Names and labels of ST-GCN's label file."""
    if not isinstance(found, list | tuple) or len(found) != 2 or any(len(part) != count for part in found):
        raise InputError("labels do not fit the clips", where=where, expected=f"two lists of {count}")
    return [str(name) for name in found[0]], [int(label) for label in found[1]]


def _cut(whole: NDArray[Any], joints: Layout, fps: float, *, where: object, **about: str) -> SkeletonClip:
    """A clip without the frames of zeros behind it; bodies of zeros are missing."""
    points = np.asarray(whole, np.float32)
    if not np.isfinite(points).all():
        raise InputError("NaN or infinite point", where=f"{where} › {about['source_id']}")
    shown = np.flatnonzero((points != 0).any((0, 2, 3)))
    points = points[:, : shown[-1] + 1 if len(shown) else 1]
    seen = np.ones(points.shape[:3], np.float32)
    return _clip(points, seen, joints, fps=fps, units="metres", **about)


def _clip(
    points: Points, seen: Points, joints: Layout, *, fps: float, units: Units, label: str, **about: str
) -> SkeletonClip:
    """A clip whose points at the origin, or with a score of 0, are missing."""
    missing = (points == 0).all(-1) | (seen <= 0)
    return SkeletonClip.from_points(
        np.where(missing[..., None], np.nan, points).astype(np.float32),
        layout=joints, fps=fps, units=units, confidence=np.where(missing, 0, np.clip(seen, 0, 1)).astype(np.float32),
        label=label, **about,
    )  # fmt: skip


def _one(source: Path, suffix: str) -> list[tuple[str, bytes]]:
    found = list(members(source, lambda name: name.endswith(suffix)))
    if len(found) != 1:
        raise InputError("which file?", where=source, expected=f"one {suffix}", got=[name for name, _ in found])
    return found


def _splits(found: Any, wanted: str | None, where: str) -> dict[str, str]:
    """Clip -> `train` or `test`; `UsageError` where a file has several splits and none is named."""
    if not isinstance(found, Mapping):
        raise InputError("`split` is no mapping", where=where, got=type(found).__name__)
    kinds: dict[str, dict[str, str]] = {}
    for name in found:
        match = re.fullmatch(r"(?:(.*)_)?(train|val|test)(\d*)", str(name))
        if match:
            kinds.setdefault((match[1] or "") + match[3], {})[match[2]] = str(name)
    if wanted is None and len(kinds) > 1:
        raise UsageError("the file has several splits", where=where, expected=sorted(kinds), hint="--split-type NAME")
    if wanted is not None and wanted not in kinds:
        raise UsageError("the file has no such split", where=where, expected=sorted(kinds), got=wanted)
    chosen = kinds.get(wanted if wanted is not None else next(iter(kinds), ""), {})
    both = "val" in chosen and "test" in chosen
    return {
        str(clip): "val" if both and part == "val" else PARTS[part]
        for part, name in chosen.items()
        for clip in found[name]
    }


def _array(found: Any, where: str, *, axes: int) -> Points:
    array = np.asarray(found)
    if array.ndim != axes or not np.issubdtype(array.dtype, np.number) or 0 in array.shape:
        raise InputError("an array of the wrong kind", where=where, expected=f"{axes} axes of numbers", got=array.shape)
    if not np.isfinite(array).all():
        raise InputError("NaN or infinite point", where=where)
    return np.asarray(array, np.float32)


def _layout_of(shape: tuple[int, ...], named: str | None, where: str) -> Layout:
    joints, axes = shape
    if named is not None:
        return load_layout(named)
    if (joints, axes) not in LAYOUTS:
        known = ", ".join(f"{count} joints of {axes} axes: {name}" for (count, axes), name in LAYOUTS.items())
        raise UsageError("which layout?", where=where, expected=known, got=f"{joints} joints", hint="--layout NAME")
    return get_layout(LAYOUTS[joints, axes])


def _image_height(shape: Any, where: str) -> float:
    height = cast(Any, shape)[0] if isinstance(shape, list | tuple) and len(shape) == 2 else 0
    if not isinstance(height, int | float | np.number) or not 0 < float(height) < 1e6:
        raise InputError(
            "points of an image need its size", where=where, expected="img_shape (height, width)", got=shape
        )
    return float(height)


def _classes(found: NDArray[Any], count: int, where: str) -> NDArray[np.int64]:
    """(N,) class numbers of one-hot rows or of numbers."""
    labels = found.argmax(1) if found.ndim == 2 else found
    if labels.shape != (count,) or (found.ndim == 2 and not ((found != 0).sum(1) == 1).all()):
        raise InputError(
            "labels do not fit the clips", where=where, expected=f"({count}, classes), one-hot", got=found.shape
        )
    return np.asarray(labels, np.int64)
