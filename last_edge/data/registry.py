"""The table of datasets: reader, options, labels, licence. The CLI, the docs and the tests read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.data.readers.holistic_words import read_holistic_words
from last_edge.data.readers.how2sign import read_how2sign
from last_edge.data.readers.npz import read_npz
from last_edge.data.readers.ntu import ntu_labels, read_ntu
from last_edge.data.readers.phoenix import read_phoenix
from last_edge.data.readers.pose import pose_labels, read_pose_files
from last_edge.data.readers.pose_tsv import read_pose_tsv
from last_edge.data.readers.shrec17 import read_shrec17, shrec17_labels
from last_edge.data.readers.utd_mhad import ACTIONS, read_utd_mhad
from last_edge.errors import UsageError
from last_edge.names import did_you_mean
from last_edge.skeleton.clip import SkeletonClip

Options = dict[str, Any]
Reader = Callable[..., Iterator[SkeletonClip]]
"""`reader(source, **options)` yields clips; `InputError` names file and reason."""


def _from_clips(source: Path, options: Options) -> None:
    """The clips tell their labels."""


def _none(source: Path, options: Options) -> tuple[str, ...]:
    """Sentences have texts instead of labels."""
    return ()


@dataclass(frozen=True)
class Dataset:
    """One kind of source.

    read: the reader. options: the reader's keyword arguments a user may give. licence: terms and citation.
    labels: class names in order for given options; None where the clips tell. axes: where x, y and z point.
    """

    title: str
    read: Reader
    licence: str
    axes: str
    options: tuple[str, ...] = ()
    labels: Callable[[Path, Options], tuple[str, ...] | None] = _from_clips


METRIC = "x to the subject's right, y up, z away from the sensor"
IMAGE = "x to the image's right, y down, z away from the camera; all in image heights"

READERS: dict[str, Dataset] = {
    "shrec17": Dataset(
        "SHREC'17 Track: 14 or 28 hand gestures, official folder or archive",
        read_shrec17,
        "research use; cite De Smedt et al. 2017",
        METRIC,
        options=("labels",),
        labels=lambda source, options: shrec17_labels(**options),
    ),
    "utd_mhad": Dataset(
        "UTD-MHAD: 27 actions, Kinect v1 skeletons, Skeleton.zip or its folder",
        read_utd_mhad,
        "research use; cite Chen et al. 2015",
        METRIC,
        labels=lambda source, options: ACTIONS,
    ),
    "holistic_words": Dataset(
        "Webcam words as MediaPipe Holistic landmarks, a folder of signer_*.npz",
        read_holistic_words,
        "no licence: tests and internal figures only, ship no weights",
        IMAGE,
        options=("layout", "image_size", "fps", "words"),
    ),
    "ntu": Dataset(
        "NTU RGB+D 60 or 120, official .skeleton files",
        read_ntu,
        "research use after registration; cite Shahroudy et al. 2016, Liu et al. 2019",
        "the camera's metres (x, y up, z away) about body 0's spine base; with rotate, x to its right, y its spine",
        options=("split_type", "missing_list", "rotate", "centre", "classes"),
        labels=ntu_labels,
    ),
    "pose": Dataset(
        ".pose files of MediaPipe Holistic or OpenPose",
        read_pose_files,
        "as the files' source",
        IMAGE,
        options=("layout", "axes", "index"),
        labels=pose_labels,
    ),
    "how2sign": Dataset(
        "How2Sign sentences: OpenPose key points and the realigned tables",
        read_how2sign,
        "CC BY-NC 4.0; cite Duarte et al. 2021",
        "x to the image's right, y down; both in image heights",
        options=("image_size", "fps"),
        labels=_none,
    ),
    "phoenix": Dataset(
        "PHOENIX-2014T sentences: .skels, .text, .gloss, .files",
        read_phoenix,
        "CC BY-NC-SA; cite Camgoz et al. 2018, Saunders et al. 2020",
        "x to the image's right, y down, z as the authors lifted it; relative to the neck, in their unit",
        options=("target",),
        labels=_none,
    ),
    "pose_tsv": Dataset(
        "sentences as .pose files and a table of file, text, split, subject",
        read_pose_tsv,
        "as the files' source",
        IMAGE,
        options=("index", "layout", "axes"),
        labels=_none,
    ),
    "npz": Dataset(
        "any sensor: .npz with frames, lengths, labels, subjects, split, and a layout",
        read_npz,
        "as the files' source",
        "as the files' source",
        options=("layout", "units", "fps"),
    ),
}


def get_dataset(name: str) -> Dataset:
    """A dataset by name; `UsageError` with the nearest names when unknown."""
    if name not in READERS:
        raise UsageError(f"unknown dataset {name!r}", expected=did_you_mean(name, READERS))
    return READERS[name]
