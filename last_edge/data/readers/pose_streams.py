"""Long webcam recordings as MediaPipe pose with a label a frame, `.npz`."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from last_edge.data.readers.archive import check_lengths, load_arrays, locate, members, need, one_file, size_of_image
from last_edge.data.readers.holistic_words import SMALLEST_VISIBILITY
from last_edge.data.readers.npz import spans_of
from last_edge.errors import InputError
from last_edge.skeleton import SkeletonClip, get_layout

LAYOUT = "mediapipe_pose33"


def read_pose_streams(source: Path, *, image_size: str = "640x480") -> Iterator[SkeletonClip]:
    """Recordings of files with `pose (ΣT, 33, 4)` (x and y in shares of the image, z in image widths, visibility),
    `frame_labels (ΣT,)`, `lengths`, `subjects` and `fps (N,)`; stretches of one label are spans, `idle` is background.

    image_size: width x height of the recordings, of which the files say nothing. A person is FILE/SUBJECT, so that
    equal letters of two files are two persons. Raises `InputError` naming the file.
    """
    width, height = size_of_image(image_size)
    stretch = np.array([width / height, 1.0, width / height], np.float32)
    found = False
    for name, content in members(source, lambda name: name.endswith(".npz")):
        found, where = True, locate(source, name)
        with one_file():
            arrays, stem = load_arrays(content, where), PurePosixPath(name).stem
            pose, labels = need(arrays, "pose", where), need(arrays, "frame_labels", where)
            if pose.ndim != 3 or pose.shape[1:] != (33, 4):
                raise InputError("wrong joint count", where=where, expected=("F", 33, 4), got=pose.shape)
            lengths = check_lengths(need(arrays, "lengths", where), len(pose), where)
            subjects, fps = need(arrays, "subjects", where), need(arrays, "fps", where)
            if labels.shape != (len(pose),) or not subjects.shape == fps.shape == lengths.shape:
                got = (labels.shape, subjects.shape, fps.shape)
                expected = f"({len(pose)},), ({len(lengths)},), ({len(lengths)},)"
                raise InputError("labels, subjects or rates do not fit", where=where, expected=expected, got=got)
            ends = np.cumsum(lengths)
            for number, (start, end) in enumerate(zip(ends - lengths, ends, strict=True)):
                yield SkeletonClip.from_points(
                    pose[None, start:end, :, :3] * stretch, layout=get_layout(LAYOUT), fps=float(fps[number]),
                    units="image01", confidence=pose[None, start:end, :, 3].clip(SMALLEST_VISIBILITY, 1.0),
                    spans=spans_of([str(label) for label in labels[start:end].tolist()]),
                    subject=f"{stem}/{subjects[number]}", source_id=f"{stem}/{number:03d}",
                )  # fmt: skip
    if not found:
        raise InputError("no .npz file found", where=source)
