"""From a dataset's source to a clip store, `last-edge data prepare`, and the table of datasets."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from last_edge.clips import ClipStore, writing_store
from last_edge.clips.store import HEADER
from last_edge.data.axes import Lie, faults_of, lie_of
from last_edge.data.readers.archive import leaving_out
from last_edge.data.readers.holistic_words import read_holistic_words
from last_edge.data.readers.how2sign import read_how2sign
from last_edge.data.readers.mediapipe import read_asl_signs, read_landmark_csv, read_mediapipe_npy
from last_edge.data.readers.npz import read_npz
from last_edge.data.readers.ntu import ntu_labels, read_ntu
from last_edge.data.readers.openpose import read_kinetics, read_openpose
from last_edge.data.readers.phoenix import read_phoenix
from last_edge.data.readers.pose import pose_labels, read_pose_files, read_pose_tsv, read_wlasl, wlasl_index
from last_edge.data.readers.pose_streams import read_pose_streams
from last_edge.data.readers.pyskl import read_ctrgcn, read_pyskl
from last_edge.data.readers.shrec17 import read_dhg, read_shrec17, shrec17_labels
from last_edge.data.readers.shrec21 import GESTURES, read_shrec21
from last_edge.data.readers.utd_mhad import ACTIONS, read_utd_mhad
from last_edge.errors import InputError, UsageError
from last_edge.files import check_free
from last_edge.names import check_known
from last_edge.skeleton.clip import SkeletonClip

Options = dict[str, Any]
Reader = Callable[..., Iterator[SkeletonClip]]
"""`reader(source, **options)` yields clips; `InputError` names file and reason."""
METRIC = "x to the subject's right, y up, z away from the sensor; all in metres"
IMAGE = "x to the image's right, y down, z away from the camera; all in image heights"
Progress = Callable[[int], None]
LARGEST_TEST_SHARE = 0.5
logger = logging.getLogger(__name__)


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


READERS: dict[str, Dataset] = {
    "shrec17": Dataset(
        "SHREC'17 Track: 14 or 28 hand gestures, official folder or archive", read_shrec17,
        "research use; cite De Smedt et al. 2017", METRIC, options=("labels",),
        labels=lambda source, options: shrec17_labels(**options),
    ),
    "dhg": Dataset(
        "DHG-14/28: 14 or 28 hand gestures, folder or archive", read_dhg, "research use; cite De Smedt et al. 2016",
        METRIC, options=("labels",), labels=lambda source, options: shrec17_labels(**options),
    ),
    "shrec21": Dataset(
        "SHREC 2021: long recordings with 17 annotated hand gestures, official folder or archive", read_shrec21,
        "research use; cite Caputo et al. 2021", "x to the user's right, y up, z towards the user; all in metres",
        labels=lambda source, options: GESTURES,
    ),
    "utd_mhad": Dataset(
        "UTD-MHAD: 27 actions, Kinect v1 skeletons, Skeleton.zip or its folder", read_utd_mhad,
        "research use; cite Chen et al. 2015", METRIC, labels=lambda source, options: ACTIONS,
    ),
    "holistic_words": Dataset(
        "Webcam words as MediaPipe Holistic landmarks, signer_*.npz or signs_*.npz", read_holistic_words,
        "no licence: tests and internal figures only, ship no weights", IMAGE,
        options=("layout", "image_size", "fps", "words"),
    ),
    "ntu": Dataset(
        "NTU RGB+D 60 or 120, official .skeleton files", read_ntu,
        "research use after registration; cite Shahroudy et al. 2016, Liu et al. 2019",
        "the camera's metres (x, y up, z away) about body 0's spine base; with rotate, x to its right, y its spine",
        options=("split_type", "missing_list", "rotate", "centre", "classes", "person"), labels=ntu_labels,
    ),
    "pose": Dataset(
        ".pose files of MediaPipe Holistic or OpenPose", read_pose_files, "as the files' source", IMAGE,
        options=("layout", "axes", "index", "person"), labels=pose_labels,
    ),
    "wlasl": Dataset(
        "WLASL v0.3 as .pose files named by video id, with its table", read_wlasl, "C-UDA; cite Li et al. 2020", IMAGE,
        options=("index", "layout", "axes", "person"),
        labels=lambda source, options: pose_labels(source, {"index": wlasl_index(source, options.get("index"))}),
    ),
    "pose_streams": Dataset(
        "long webcam recordings as MediaPipe pose, .npz with a label a frame", read_pose_streams,
        "as the files' source", IMAGE, options=("image_size",),
    ),
    "how2sign": Dataset(
        "How2Sign sentences: OpenPose key points and the realigned tables", read_how2sign,
        "CC BY-NC 4.0; cite Duarte et al. 2021", "x to the image's right, y down; both in image heights",
        options=("image_size", "fps"), labels=_none,
    ),
    "phoenix": Dataset(
        "PHOENIX-2014T sentences: .skels, .text, .gloss, .files", read_phoenix,
        "CC BY-NC-SA; cite Camgoz et al. 2018, Saunders et al. 2020",
        "x to the image's right, y down, z as the authors lifted it; relative to the neck, in their unit",
        options=("target",), labels=_none,
    ),
    "pose_tsv": Dataset(
        "sentences as .pose files and a table of file, text, split, subject", read_pose_tsv, "as the files' source",
        IMAGE, options=("index", "layout", "axes", "person"), labels=_none,
    ),
    "mediapipe_npy": Dataset(
        "MediaPipe landmarks as .npy: a file a frame (WORD/SEQUENCE/0.npy) or a clip", read_mediapipe_npy,
        "as the files' source", IMAGE, options=("image_size", "fps", "mirrored", "side"),
    ),
    "landmark_csv": Dataset(
        "tables of hand shapes: a label and 42 or 63 numbers a row, or point histories", read_landmark_csv,
        "as the files' source", IMAGE, options=("label_file", "image_size", "mirrored", "frames", "fps"),
    ),
    "asl_signs": Dataset(
        "isolated signs of the Kaggle competition asl-signs: train.csv and parquet files", read_asl_signs,
        "CC BY 4.0; cite the competition", IMAGE, options=("layout", "aspect", "fps"),
    ),
    "openpose": Dataset(
        "OpenPose JSON, a file a frame in LABEL/CLIP folders", read_openpose, "as the files' source",
        "x to the image's right, y down; both in image heights", options=("image_size", "fps", "bodies", "person"),
    ),
    "kinetics": Dataset(
        "Kinetics-skeleton: kinetics_train and kinetics_val, a JSON a clip", read_kinetics,
        "as Kinetics; cite Yan et al. 2018", "x to the image's right, y down; both in image heights",
        options=("image_size", "fps", "bodies"),
    ),
    "pyskl": Dataset(
        "annotations of PYSKL and mmaction2 (.pkl): COCO key points, NTU in 3D", read_pyskl,
        "as the annotated data set", "image heights, x right, y down; or the sensor's metres",
        options=("split_type", "layout", "fps"),
    ),
    "ctrgcn": Dataset(
        "arrays of CTR-GCN (.npz) and ST-GCN (.npy with .pkl labels)", read_ctrgcn, "as the data set they were made of",
        "the sensor's metres, as they were normalised", options=("layout", "fps"),
    ),
    "npz": Dataset(
        "any sensor: .npz with frames, lengths, labels, subjects, split, and a layout", read_npz,
        "as the files' source", f"metres: {METRIC}; image01: {IMAGE}; --units and --axes bring others to these",
        options=("layout", "units", "axes", "image_size", "fps"),
    ),
}  # fmt: skip


class Described(Protocol):
    """A clip, or what is to become one: whose it is, what it shows and what it is for."""

    @property
    def label(self) -> str | None: ...

    @property
    def subject(self) -> str: ...

    @property
    def split(self) -> str: ...


AnyClip = TypeVar("AnyClip", bound=Described)


def get_dataset(name: str) -> Dataset:
    """A dataset by name; `UsageError` with the nearest names when unknown."""
    check_known(name, READERS, "dataset")
    return READERS[name]


@dataclass(frozen=True)
class Prepared:
    """What came of a preparation.

    left_out: ids of clips that show no point in any frame; they are not stored. damaged: what was wrong with each file
    that could not be read. incomplete: which recordings lack frames, and which. sha256: empty after a dry run.
    """

    name: str
    store: str
    clips: int
    frames: int
    classes: int
    layout: str
    splits: dict[str, int]
    left_out: tuple[str, ...]
    sha256: str
    damaged: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exchange:
    """Two labels that one subject's recordings have the wrong way round."""

    subject: str
    one: str
    other: str


def prepare(
    name: str, source: Path, *, out: Path, options: dict[str, Any] | None = None, leave_out: Iterable[str] = (),
    subjects: Iterable[str] = (), test_share: float = 0.0, exchange: Iterable[Exchange] = (), limit: int | None = None,
    strict: bool = False, dry_run: bool = False, force: bool = False, progress: Progress = lambda clips: None,
) -> Prepared:  # fmt: skip
    """Read a dataset and write it as a store.

    options: what the reader takes (`READERS[name].options`). leave_out: subjects that become the test split, all others
    train. subjects: only these people's clips; empty takes all. test_share: of each label's clips, evenly spread over
    them, test and the others train, where nobody can be left out. exchange: labels that somebody's recordings have the
    wrong way round. limit: only the first clips. strict: stop at the first damaged file; else such files are named and
    left out, unless nothing is left. dry_run: read everything, write nothing. Raises `UsageError`, `InputError`.
    """
    dataset, options = get_dataset(name), dict(options or {})
    for option in options:
        if option not in dataset.options:
            known = ", ".join(dataset.options) or "none"
            raise UsageError(f"{name} has no option {option!r}", expected=known)
    check_free(out, force=force, marker=HEADER)
    leave_out, subjects, exchange = frozenset(leave_out), frozenset(subjects), tuple(exchange)
    prepared = {key: value.name if isinstance(value, Path) else value for key, value in options.items()}
    prepared |= {"leave_out": sorted(leave_out), "limit": limit}
    prepared |= {"subjects": sorted(subjects)} if subjects else {}
    prepared |= {"test_share": test_share} if test_share else {}
    prepared |= {"exchange": [dataclasses.asdict(item) for item in exchange]} if exchange else {}
    facts = {"title": dataset.title, "licence": dataset.licence, "axes": dataset.axes}
    with ExitStack() as stack:
        faults = [] if strict else stack.enter_context(leaving_out())
        try:
            done = store_clips(
                islice(
                    choose_clips(
                        dataset.read(source, **options),
                        leave_out=leave_out,
                        subjects=subjects,
                        test_share=test_share,
                        exchange=exchange,
                    ),
                    limit,
                ),
                name=name,
                out=out,
                labels=dataset.labels(source, options),
                about={"dataset": name, "source": source.name, **facts, "options": prepared},
                dry_run=dry_run,
                force=force,
                progress=progress,
            )
        except InputError as error:
            raise (faults[0] if faults else error) from None
    return dataclasses.replace(done, damaged=tuple(" ".join(str(fault).split()) for fault in faults))


def choose_clips(
    clips: Iterable[AnyClip], *, leave_out: frozenset[str] = frozenset(), subjects: frozenset[str] = frozenset(),
    test_share: float = 0.0, exchange: tuple[Exchange, ...] = (),
) -> Iterator[AnyClip]:  # fmt: skip
    """The clips of some people, labels exchanged, split anew; see `prepare`.

    `UsageError` where somebody is not there, or for two ways to split.
    """
    if test_share and (leave_out or not 0 < test_share <= LARGEST_TEST_SHARE):
        expected = f"--leave-out, or --test-share up to {LARGEST_TEST_SHARE}"
        raise UsageError("clips cannot be split like this", expected=expected, got=test_share)
    label_counts = Counter[str | None]()
    waiting = {(item.subject, label) for item in exchange for label in (item.one, item.other)}
    other = {(item.subject, a): b for item in exchange for a, b in ((item.one, item.other), (item.other, item.one))}
    met, kept = set(), set()
    for clip in clips:
        met.add(clip.subject)
        if subjects and clip.subject not in subjects:
            continue
        kept.add(clip.subject)
        own = (clip.subject, clip.label or "")
        waiting.discard(own)
        label = other.get(own, clip.label)
        label_counts[label] += 1
        tests = clip.subject in leave_out
        if test_share:
            tests = round(test_share * label_counts[label]) > round(test_share * (label_counts[label] - 1))
        split = ("test" if tests else "train") if leave_out or test_share else clip.split
        yield dataclasses.replace(clip, label=label, split=split)  # type: ignore[type-var]
    if not subjects <= met:
        raise UsageError("subjects are not in the data", expected=sorted(met), got=sorted(subjects - met))
    if waiting:
        subject, label = min(waiting)
        raise UsageError("nothing to exchange", expected=f"clips of {subject} with the label {label}", got="none")
    if not leave_out <= kept:
        got = sorted(leave_out - kept)
        raise UsageError("subjects to leave out are not in the data", expected=sorted(kept), got=got)


def store_clips(
    clips: Iterator[SkeletonClip], *, name: str, out: Path, labels: tuple[str, ...] | None, about: dict[str, Any],
    dry_run: bool = False, force: bool = False, progress: Progress = lambda clips: None,
) -> Prepared:  # fmt: skip
    """Write any stream of clips as a store, or only count them; a clip without any point is left out and named.

    A warning tells where most clips look upside down or in another unit than is said (`last_edge.data.axes`).

    Raises `UsageError`, `InputError`.
    """
    check_free(out, force=force, marker=HEADER)
    frames, met, splits, left_out = 0, set[str | None](), Counter[str](), list[str]()
    lies = list[Lie]()

    def shown() -> Iterator[SkeletonClip]:
        nonlocal frames
        for clip in clips:
            if not clip.confidence.any():
                logger.warning("no point in any frame, left out: %s", clip.source_id)
                left_out.append(clip.source_id)
                continue
            frames += clip.frames
            met.update((clip.label, *(span.label for span in clip.spans)))
            splits[clip.split] += 1
            lies.append(lie_of(clip.coords, clip.layout, clip.units))
            progress(splits.total())
            yield clip

    counted, sha256 = shown(), ""
    first = next(counted, None)
    if first is None:
        what = "no clip shows any point" if left_out else "no clips found"
        raise InputError(what, where=about.get("source"))
    if dry_run:
        for _ in counted:
            pass
    else:
        with writing_store(
            out, layout=first.layout, units=first.units, labels=labels, about=about, force=force
        ) as writer:
            for clip in chain([first], counted):
                writer.add(clip)
        sha256 = ClipStore.open(out).sha256
    for text in faults_of(lies, first.layout, first.units):
        logger.warning("%s", text)
    classes = len(met - {None} if labels is None else labels)
    return Prepared(
        name, str(out), splits.total(), frames, classes, first.layout.name, dict(sorted(splits.items())),
        tuple(left_out), sha256,
    )  # fmt: skip
