"""What there is to extract: one job a video, each with its sign's frames, what it shows, and where its result goes."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from last_edge.data.prepare import choose_clips
from last_edge.data.readers.archive import one_file, table_rows
from last_edge.data.readers.nslt import TO_THE_END, Subset
from last_edge.errors import InputError, UsageError
from last_edge.runtime.landmarks import GIVES
from last_edge.runtime.sources import ImageOptions
from last_edge.runtime.sources.base import Turn
from last_edge.runtime.sources.video import SUFFIXES as IMAGES
from last_edge.skeleton import Annotation
from last_edge.skeleton.people import check_person

VIDEOS = (
    ".mp4", ".mov", ".avi", ".webm", ".mkv", ".m4v", ".mpg", ".mpeg", ".3gp", ".wmv", ".flv", ".ts", ".mts", ".ogv",
    ".gif",
)  # fmt: skip
CLIPS = "clips"
LEVELS = ("split", "label", "person", "-")
"""What a level of folders can mean; nothing: "-"."""
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders of a split are called."""
SHOWN = 5
log = logging.getLogger(__name__)
ELAN = ".eaf"
Planned = tuple[str, Path, dict[str, Any]]
"""Name of a clip, its video, and what else its `Job` says."""
Seconds = tuple[str, float, float]
"""Label, seconds from, seconds to."""


@dataclass(frozen=True)
class Settings:
    """What is taken from a video. layout: of the points. vision: folder of a vision model, "" for none; rows: of
    features a clip, from frames evenly spread over it. fps: of folders of images, and of videos in place of their own
    time stamps; None: 30, and the time stamps. person: who is followed of several in view. flip, rotate: as
    `ImageOptions`.
    """

    layout: str = "mediapipe_holistic75"
    vision: str = ""
    rows: int = 16
    fps: float | None = None
    person: str = "largest"
    flip: bool = False
    rotate: Turn = 0

    def __post_init__(self) -> None:
        _ = self.images
        check_person(self.person)
        if self.layout not in GIVES:
            raise UsageError("no detector gives this layout", expected=", ".join(GIVES), got=self.layout)
        if self.vision and not (Path(self.vision) / "config.json").is_file():
            hint = "a folder written by transformers' save_pretrained, with model.safetensors"
            raise InputError("not a vision model's folder", where=self.vision, expected="config.json", hint=hint)

    @property
    def images(self) -> ImageOptions:
        """How images are turned and timed."""
        return ImageOptions(self.flip, self.rotate, self.fps)


@dataclass(frozen=True)
class Job:
    """One video or folder of images. first, last: frames of the sign from 1, both included; -1 to the end. start_s,
    end_s: seconds of it instead. label, subject, split: of its folders or the index. spans: of a whole video what it
    shows, label and seconds; they change nothing of what is taken out of it.
    """

    name: str
    video: str
    out: str
    settings: Settings
    first: int = 1
    last: int = TO_THE_END
    start_s: float = 0.0
    end_s: float = math.inf
    label: str | None = None
    subject: str = ""
    split: str = ""
    spans: tuple[Seconds, ...] = ()

    @property
    def identity(self) -> str:
        """sha256 of what decides the result: settings, frames, and the video by size and time of its last change."""
        stat = Path(self.video).stat()
        span = [self.first, self.last, self.start_s, str(self.end_s)]
        about = ["even in time", asdict(self.settings), *span, stat.st_size, stat.st_mtime_ns]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def plan_jobs(
    videos: Path, out: Path, settings: Settings, *, index: Path | None = None, folders: str = "",
    spans: Path | None = None, tier: str = "",
) -> list[Job]:  # fmt: skip
    """A job for each video, or folder of images, below a folder; `InputError` where there are none.

    index: an NSLT subset (.json), or a table with the columns `file` (path below `videos`), `label` and any of
    `subject`, `split`, `start` and `end` (seconds), whose rows alone become clips; a file may have several. Or a folder
    of ELAN's `.eaf` named as the videos, whose annotations of `tier` become clips. A wrong row is left out where
    damaged files are (`last_edge.data.readers.archive`).
    folders: what the levels of folders mean, from `videos` down, such as `split/label/person`, see `LEVELS`; a last one
    with underscores says what the parts of a file's name mean, `label_person_-` for LSA64's 001_004_003.mp4. Without it
    one level is the label and a video without a folder has none; more are a `UsageError`.
    spans, tier: what whole videos show and when (`read_spans`), which then are long recordings.
    """
    if spans is not None and (folders or index is not None):
        raise UsageError("--spans says all that a video shows", hint="without --folders and --index")
    annotated = index is not None and index.is_dir()
    if tier and spans is None and not annotated:
        raise UsageError("--tier names a tier of ELAN's files", expected="--spans or --index, a folder", got=tier)
    if folders and index is not None:
        raise UsageError("--folders and --index both say what a video shows", hint="one of them")
    if not videos.is_dir():
        raise InputError("not a folder of videos", where=videos)
    found = sorted(_recordings(videos))
    if spans is not None:
        planned = _by_spans(found, videos, read_spans(spans, tier=tier))
    elif index is None:
        planned = _by_folder(found, videos, *_levels(folders, found, videos))
    elif annotated:
        planned = _by_annotations(found, videos, read_spans(index, tier=tier))
    elif index.suffix == ".json":
        planned = _by_subset(found, videos, Subset(index))
    else:
        planned = _by_table(found, videos, index)
    jobs = [Job(name, str(path), str(out / CLIPS / f"{name}.npz"), settings, **about) for name, path, about in planned]
    if not jobs:
        raise InputError("no videos found", where=videos, expected=" ".join(VIDEOS))
    return jobs


def _recordings(videos: Path) -> Iterator[Path]:
    """Videos, and folders that hold several images and nothing to look into."""
    for at, inside, files in os.walk(videos):
        folder, kinds = Path(at), [Path(name).suffix.lower() for name in files]
        yield from (folder / name for name, kind in zip(files, kinds, strict=True) if kind in VIDEOS)
        if folder != videos and not inside and not set(kinds) & set(VIDEOS) and sum(k in IMAGES for k in kinds) > 1:
            yield folder


def _levels(text: str, found: list[Path], videos: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The meaning of each level of folders, and of the parts of a file's name: `label/person`, `split/label_person_-`.

    `UsageError` for what is no meaning, or for several levels without one.
    """
    levels = tuple(text.split("/")) if text else ("label",)
    names = tuple(levels[-1].split("_")) if "_" in levels[-1] else ()
    levels = levels[:-1] if names else levels
    meanings = (*levels, *names)
    if not set(meanings) <= set(LEVELS) or any(meanings.count(name) > 1 for name in LEVELS[:-1]):
        expected = f"{', '.join(LEVELS)} with / between, such as split/label/person; of a file's name label_person_-"
        raise UsageError("--folders names what each level of folders means", expected=expected, got=text)
    deepest = max((path.relative_to(videos).parts[:-1] for path in found), key=len, default=())
    if not text and len(deepest) > 1:
        tops = {path.relative_to(videos).parts[0].lower() for path in found}
        guess = ("split/label/person" if tops <= set(SPLITS) else "label/person/-").split("/")
        meaning = "/".join((guess + ["-"] * len(deepest))[: len(deepest)])
        raise UsageError("which folder is the label?", where=videos / Path(*deepest), expected="--folders",
                         got=f"{len(deepest)} levels of folders", hint=f"--folders {meaning}")  # fmt: skip
    return levels, names


def _by_folder(found: list[Path], videos: Path, levels: tuple[str, ...], names: tuple[str, ...]) -> Iterator[Planned]:
    for path in found:
        name, parts = path.relative_to(videos).as_posix(), path.relative_to(videos).parts[:-1]
        if len(parts) != len(levels) and (parts or levels != ("label",)):
            expected = f"{'/'.join(levels)}/FILE, as --folders says"
            raise InputError("a video lies at another level", where=path, expected=expected)
        about = dict(zip(levels, parts, strict=False))
        if names:
            said = path.stem.split("_")
            if len(said) != len(names):
                with one_file():
                    raise InputError("a video has another name", where=path, expected=f"{'_'.join(names)} by --folders")
                continue
            about |= dict(zip(names, said, strict=True))
        split = _split(about.get("split", ""), path)
        yield name, path, {"label": about.get("label"), "subject": about.get("person", ""), "split": split}


def _by_table(found: list[Path], videos: Path, index: Path) -> Iterator[Planned]:
    """Of a table's rows; files without a row and rows without a file are named in a warning."""
    paths = {path.relative_to(videos).as_posix(): path for path in found}
    rows: dict[str, list[tuple[str, dict[str, str]]]] = {}
    more = ("subject", "split", "start", "end")
    for place, row in table_rows(index.read_bytes(), str(index), needed=("file", "label"), more=more):
        rows.setdefault(row["file"].replace("\\", "/"), []).append((place, row))
    for what, names in (
        ("without a row in the index, left out", [name for name in paths if name not in rows]),
        ("in the index but absent", [name for name in rows if name not in paths]),
    ):
        if names:
            log.warning("%d files %s: %s", len(names), what, ", ".join(names[:SHOWN]))
    for name, path in paths.items():
        for number, (place, row) in enumerate(rows.get(name, ())):
            clip = name if len(rows[name]) == 1 else f"{name}#{number}"
            with one_file():
                start_s, end_s = (
                    _seconds(row.get(key, ""), usual, place) for key, usual in (("start", 0.0), ("end", math.inf))
                )
                if start_s >= end_s:
                    raise InputError("a sign ends before it starts", where=place, expected="start < end, in seconds")
                yield clip, path, {
                    "start_s": start_s, "end_s": end_s, "label": row["label"] or None,
                    "subject": row.get("subject", ""), "split": _split(row.get("split", ""), place),
                }  # fmt: skip


def _annotated(found: list[Path], videos: Path, shown: dict[str, Shown]) -> Iterator[tuple[Path, Shown]]:
    """Videos and what is annotated; those without annotations and annotations without a video are told."""
    paths = {key_of(path.relative_to(videos).as_posix()): path for path in found}
    for what, names in (
        ("without annotations, left out", [name for name in paths if name not in shown]),
        ("annotated but absent", [name for name in shown if name not in paths]),
    ):
        if names:
            log.warning("%d videos %s: %s", len(names), what, ", ".join(names[:SHOWN]))
    yield from ((path, shown[key]) for key, path in paths.items() if key in shown)


def _by_spans(found: list[Path], videos: Path, shown: dict[str, Shown]) -> Iterator[Planned]:
    """Each annotated video, whole."""
    for path, its in _annotated(found, videos, shown):
        about = {"subject": its.subject, "split": _split(its.split, path), "spans": tuple(its.spans)}
        yield path.relative_to(videos).as_posix(), path, about


def _by_annotations(found: list[Path], videos: Path, shown: dict[str, Shown]) -> Iterator[Planned]:
    """Each annotation, cut out of its video."""
    for path, its in _annotated(found, videos, shown):
        for number, (label, start_s, end_s) in enumerate(its.spans):
            clip = f"{path.relative_to(videos).as_posix()}#{number}"
            yield clip, path, {"start_s": start_s, "end_s": end_s, "label": label}


def _by_subset(found: list[Path], videos: Path, subset: Subset) -> Iterator[Planned]:
    for path in found:
        if subset.has(path.name):
            row, its = subset.rows[path.stem], subset.about(path.name)
            about = {"first": row.first, "last": row.last, "label": its["label"], "split": its["split"] or ""}
            yield path.stem, path, about
    subset.tell_missing(videos)


def _seconds(text: str, usual: float, where: str) -> float:
    try:
        seconds = float(text) if text.strip() else usual
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise InputError("not a time", where=where, expected="seconds, as 1.25", got=text)
    return seconds


def _split(name: str, where: object) -> str:
    """The split that a folder or field means."""
    if name and name.lower() not in SPLITS:
        raise InputError("no split is called so", where=where, expected=", ".join(SPLITS), got=name)
    return SPLITS.get(name.lower(), "")


def choose_jobs(
    jobs: list[Job], *, leave_out: Iterable[str] = (), subjects: Iterable[str] = (), test_share: float = 0.0
) -> list[Job]:
    """Jobs of some people, split anew; see `last_edge.data.prepare.prepare`.

    `UsageError` for people where none are known.
    """
    leave_out, subjects = frozenset(leave_out), frozenset(subjects)
    if (leave_out or subjects) and not any(job.subject for job in jobs):
        hint = "--folders label/person, or --test-share 0.2"
        raise UsageError("it is not known who is seen", got=", ".join(sorted(leave_out | subjects)), hint=hint)
    return list(choose_clips(jobs, leave_out=leave_out, subjects=subjects, test_share=test_share))


@dataclass
class Shown:
    """Of one video: what it shows, who is seen and what it is for."""

    spans: list[Seconds] = field(default_factory=list)
    subject: str = ""
    split: str = ""


def read_spans(source: Path, *, tier: str = "") -> dict[str, Shown]:
    """By a video's name without its ending, below its folder: what it shows.

    source: a table with `file`, `label`, `start`, `end` (seconds), and perhaps `subject` and `split`; a row without a
    label says that a video shows background alone. Or a folder of `.eaf`, named as the videos; tier: which of their
    tiers, needed where several have annotations in time. Raises `InputError`, `UsageError`.
    """
    if not source.is_dir():
        return _of_table(source)
    files = sorted(source.rglob(f"*{ELAN}"))
    if not files:
        raise InputError("no ELAN file found", where=source, expected=f"*{ELAN}, named as the videos")
    return {key_of(path.relative_to(source).as_posix()): Shown(list(_of_elan(path, tier))) for path in files}


def key_of(name: str) -> str:
    """How a video and its annotations name the same thing."""
    return Path(name.replace("\\", "/")).with_suffix("").as_posix()


def as_frames(spans: tuple[Seconds, ...], *, fps: float, frames: int, where: str) -> tuple[Annotation, ...]:
    """Spans of seconds as spans of frames, cut to the recording; `InputError` where one lies outside, or on another."""
    made: list[Annotation] = []
    for label, start_s, end_s in sorted(spans, key=lambda span: span[1]):
        first = max(round(start_s * fps), made[-1].last + 1 if made else 0)
        last = min(round(end_s * fps) - 1, frames - 1)
        if last < first:
            got = f"{label} from {start_s:g} to {end_s:g} s"
            raise InputError("an annotation outside its video or within another", where=where, got=got)
        made.append(Annotation(label, first, last))
    return tuple(made)


def _of_table(source: Path) -> dict[str, Shown]:
    found: dict[str, Shown] = {}
    needed = ("file", "label", "start", "end")
    for place, row in table_rows(source.read_bytes(), str(source), needed=needed, more=("subject", "split")):
        shown = found.setdefault(key_of(row["file"]), Shown())
        shown.subject, shown.split = row.get("subject", "") or shown.subject, row.get("split", "") or shown.split
        if row["label"]:
            shown.spans.append((row["label"], *_times(row["start"], row["end"], place)))
    return found


def _times(start: str, end: str, where: str, *, unit: float = 1.0) -> tuple[float, float]:
    try:
        times = float(start) * unit, float(end) * unit
    except ValueError:
        times = math.nan, math.nan
    if not 0 <= times[0] < times[1] < math.inf:
        raise InputError("not a span of time", where=where, expected="0 <= start < end", got=f"{start} {end}")
    return times


def _of_elan(path: Path, tier: str) -> Iterator[Seconds]:
    """Annotations of one tier that are bound to time slots; milliseconds in the file."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError("not an ELAN file", where=path, got=error) from error
    slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE", "") for slot in root.iter("TIME_SLOT")}
    tiers = {str(each.get("TIER_ID")): list(each.iter("ALIGNABLE_ANNOTATION")) for each in root.iter("TIER")}
    timed = [name for name, annotations in tiers.items() if annotations]
    if tier and tier not in tiers:
        raise UsageError("no such tier", where=path, expected=", ".join(tiers), got=tier)
    if not tier and len(timed) > 1:
        raise UsageError("which tier is meant?", where=path, expected=f"--tier {timed[0]}", got=", ".join(timed))
    for annotation in tiers[tier or timed[0]] if tier or timed else ():
        start, end = (slots.get(annotation.get(name), "") for name in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"))
        if label := (annotation.findtext("ANNOTATION_VALUE") or "").strip():
            yield label, *_times(start, end, f"{path} › {label}", unit=0.001)
