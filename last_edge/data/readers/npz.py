"""Any sensor without code: a folder of `.npz` files plus a layout."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.writer import SPLITS
from last_edge.data.readers.archive import check_lengths, load_arrays, locate, members, need, one_file, size_of_image
from last_edge.errors import InputError, UsageError
from last_edge.names import is_background
from last_edge.skeleton import Annotation, Layout, SkeletonClip, Units, load_layout

UNITS = ("metres", "image01")
GIVEN = (*UNITS, "pixels", "world")
"""Units that --units names: `pixels` become image heights; `world` are MediaPipe's metres, axes as in the image."""
AXES = ("y-up", "y-down")
HALF_TURN = (-1.0, -1.0, 1.0)
LARGEST_LABEL = 2**53
KNOWN = (
    "frames", "lengths", "labels", "subjects", "split", "confidence", "source_ids", "camera", "setup", "fps",
    "frame_labels",
)  # fmt: skip
PER_FRAME = ("confidence", "frame_labels")
NEXT = "last-edge data prepare npz {source} --layout {layout} --units {units} --out STORE"

logger = logging.getLogger(__name__)


def read_npz(
    source: Path, *, layout: str | None = None, units: str | None = None, fps: float = 30.0, axes: str | None = None,
    image_size: str | None = None,
) -> Iterator[SkeletonClip]:  # fmt: skip
    """Clips of `.npz` files with `frames (ΣT, V, C)` or `(ΣT, M, V, C)`, `lengths (N,)` and more.

    `labels` (numbers or names; -1 or "" is unlabelled), `subjects`, `split` ("train", "val", "test", ""), `camera`,
    `setup` and `source_ids` are arrays (N,) or one value for the file, and may be absent; so may `confidence (ΣT, V)`.
    `frame_labels (ΣT,)`, names, make clips long recordings: what is shown at each frame, background where it is "" or
    says so (`idle`, `none`, …). NaN is a missing point. A file without `lengths` is one clip; without `labels` its
    folder is its label. layout: a shipped layout's name or a JSON file. units and fps: used where the file has none;
    where neither tells the units they are taken for metres, with a warning. `pixels` become image heights by
    image_size, WIDTHxHEIGHT; `world` are MediaPipe's world landmarks. axes: `y-up`, as a depth sensor's metres have it,
    x to the person's right; `y-down`, as a camera's, x to the image's right: half a turn about z makes one the other.
    Raises `UsageError` without a layout, `InputError` naming the file; a pickle is never read.
    """
    if layout is None:
        command = NEXT.format(source=source, layout="NAME|FILE.json", units=units or "metres")
        raise UsageError("npz files need a layout", expected="--layout", hint=command)
    if units not in (None, *GIVEN):
        raise UsageError("unknown units", expected=" | ".join(GIVEN), got=units)
    if axes not in (None, *AXES):
        raise UsageError("unknown axes", expected=" | ".join(AXES), got=axes)
    if axes is not None and units != "metres":
        raise UsageError("--axes is for --units metres: others say where y points", got=f"--units {units}")
    if (units == "pixels") != (image_size is not None):
        raise UsageError("--units pixels and --image-size go together", expected="--image-size 1280x720", got=units)
    change = _Change(units == "world" or axes == "y-down", size_of_image(image_size)[1] if image_size else 1)
    own = {"pixels": "image01", "world": "metres"}.get(units or "", units)
    joints, found, named = load_layout(layout), False, True
    for name, content in members(source, lambda name: name.endswith(".npz")):
        found, where = True, locate(source, name)
        with one_file():
            arrays = load_arrays(content, where)
            named = named and (units is not None or "units" in arrays)
            if "units" in arrays and (change.turned or change.height > 1):
                raise InputError("the file says its units", where=where, expected="without --units, --axes", got=units)
            if "lengths" not in arrays and "frames" in arrays:
                arrays["lengths"] = np.array([len(arrays["frames"])] if arrays["frames"].ndim else [], np.int64)
            if "labels" not in arrays and (folder := PurePosixPath(name).parent.name):
                arrays["labels"] = np.array(folder)
            stem = PurePosixPath(name).with_suffix("").as_posix()
            if "frames" in arrays:
                arrays["frames"] = change(arrays["frames"])
            yield from _clips(arrays, stem, where, joints, own or UNITS[0], fps)
    if not named:
        command = NEXT.format(source=source, layout=layout, units="|".join(UNITS))
        logger.warning("no units given, taken for %s; to give them: %s", UNITS[0], command)
    if not found:
        raise InputError("no .npz file found", where=source)


@dataclass(frozen=True)
class _Change:
    """What brings points (..., C) to the store's axes and unit."""

    turned: bool
    height: int

    def __call__(self, frames: NDArray[Any]) -> NDArray[Any]:
        if not np.issubdtype(frames.dtype, np.floating) or frames.shape[-1:] not in ((2,), (3,)):
            return frames
        factors = np.array(HALF_TURN if self.turned else (1.0, 1.0, 1.0))[: frames.shape[-1]] / self.height
        return np.asarray(frames * factors.astype(frames.dtype))


def _clips(
    arrays: dict[str, NDArray[Any]], stem: str, where: str, layout: Layout, units: str, fps: float
) -> Iterator[SkeletonClip]:
    unknown = sorted(set(arrays) - {*KNOWN, "units"})
    if unknown:
        raise InputError("unknown arrays", where=where, expected=", ".join(KNOWN), got=", ".join(unknown))
    frames = _frames(need(arrays, "frames", where), layout, where)
    lengths = check_lengths(need(arrays, "lengths", where), len(frames), where)
    about = {name: _per_clip(arrays, name, len(lengths), where) for name in KNOWN[2:] if name not in PER_FRAME}
    confidence = _confidence(arrays, frames, where)
    shown = _frame_labels(arrays, len(frames), where)
    unit = str(arrays["units"]) if "units" in arrays else units
    if unit not in UNITS:
        raise InputError("unknown units", where=where, expected=" | ".join(UNITS), got=unit)
    if odd := sorted(set(about["split"]) - set(SPLITS)):
        raise InputError("unknown split", where=where, expected=SPLITS, got=odd[0])
    ends = np.cumsum(lengths)
    for number, (start, end) in enumerate(zip(ends - lengths, ends, strict=True)):
        yield SkeletonClip.from_points(
            frames[start:end].swapaxes(0, 1), layout=layout, fps=_fps(about["fps"][number] or fps, where),
            units=cast(Units, unit), confidence=None if confidence is None else confidence[start:end].swapaxes(0, 1),
            label=None if (label := about["labels"][number]) in ("", "-1") or shown is not None else label,
            spans=() if shown is None else spans_of(shown[start:end]), subject=about["subjects"][number],
            source_id=about["source_ids"][number] or f"{stem}/{number:05d}", split=about["split"][number],
            camera=about["camera"][number], setup=about["setup"][number],
        )  # fmt: skip


def _frames(frames: NDArray[Any], layout: Layout, where: str) -> NDArray[np.float32]:
    """(ΣT, M, V, C), checked."""
    if frames.ndim not in (3, 4) or not np.issubdtype(frames.dtype, np.floating) or frames.shape[-1] not in (2, 3):
        got = f"{frames.dtype} {frames.shape}"
        raise InputError("frames of the wrong kind", where=where, expected="floats (ΣT, V, 2 or 3)", got=got)
    if frames.shape[-2] != layout.joints:
        expected = f"{layout.joints} joints of {layout.name}"
        raise InputError("wrong joint count", where=where, expected=expected, got=frames.shape[-2])
    with np.errstate(over="ignore"):
        narrow = frames.astype(np.float32)
    if np.isinf(narrow).any():
        raise InputError("infinite point", where=where, expected="finite numbers, NaN where a point is missing")
    return narrow if frames.ndim == 4 else narrow[:, None]


def _per_clip(arrays: dict[str, NDArray[Any]], name: str, clips: int, where: str) -> list[str]:
    """One text a clip: the array's items, the file's single value, or "" where the file says nothing."""
    values = arrays.get(name, np.array(""))
    if values.ndim > 1 or (values.ndim == 1 and len(values) != clips):
        raise InputError(f"{name!r} does not fit the clips", where=where, expected=f"({clips},)", got=values.shape)
    if name == "labels" and np.issubdtype(values.dtype, np.floating):
        if not (np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < LARGEST_LABEL)).all():
            raise InputError("'labels' are neither whole numbers nor names", where=where, got=values.dtype)
        values = values.astype(np.int64)
    return [str(value) for value in np.broadcast_to(values, clips).tolist()]


def _fps(value: float | str, where: str) -> float:
    try:
        fps = float(value)
    except ValueError:
        fps = np.nan
    if not 0 < fps < np.inf:
        raise InputError("'fps' is no frame rate", where=where, expected="frames a second, above 0", got=value)
    return fps


def _frame_labels(arrays: dict[str, NDArray[Any]], frames: int, where: str) -> list[str] | None:
    """A name a frame, None where the file has none."""
    if "frame_labels" not in arrays:
        return None
    labels = arrays["frame_labels"]
    if labels.shape != (frames,) or labels.dtype.kind != "U":
        got = f"{labels.dtype} {labels.shape}"
        raise InputError("'frame_labels' does not fit the frames", where=where, expected=f"names ({frames},)", got=got)
    return [str(label) for label in labels.tolist()]


def spans_of(labels: Sequence[str]) -> tuple[Annotation, ...]:
    """The stretches of equal labels, without those of background or of no label."""
    runs, first = [], 0
    for label, frames in ((label, len(list(same))) for label, same in groupby(labels)):
        if label and not is_background(label):
            runs.append(Annotation(label, first, first + frames - 1))
        first += frames
    return tuple(runs)


def _confidence(arrays: dict[str, NDArray[Any]], frames: NDArray[np.float32], where: str) -> NDArray[np.float32] | None:
    if "confidence" not in arrays:
        return None
    sure = arrays["confidence"]
    if sure.size != frames.size // frames.shape[-1] or not np.issubdtype(sure.dtype, np.floating):
        raise InputError("confidence does not fit the points", where=where, expected=frames.shape[:-1], got=sure.shape)
    if not ((sure >= 0) & (sure <= 1)).all():
        raise InputError("confidence outside 0..1", where=where)
    return sure.reshape(frames.shape[:-1]).astype(np.float32)
