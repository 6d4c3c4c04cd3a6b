"""What there is to extract: one job a video, each with its sign's frames and where its result goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from last_edge.data.prepare import choose_clips
from last_edge.data.readers.nslt import TO_THE_END, Subset
from last_edge.errors import InputError, UsageError
from last_edge.runtime.landmarks import GIVES

VIDEOS = (".mp4", ".mov", ".avi", ".webm", ".mkv")
CLIPS = "clips"
LEVELS = ("split", "label", "person", "-")
"""What a level of folders can mean; nothing: "-"."""
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders of a split are called."""


@dataclass(frozen=True)
class Settings:
    """What is taken from a video. layout: of the points. vision: folder of a vision model, "" for none; rows: of
    features a clip, from frames evenly spread over it.
    """

    layout: str = "mediapipe_holistic75"
    vision: str = ""
    rows: int = 16

    def __post_init__(self) -> None:
        if self.layout not in GIVES:
            raise UsageError("no detector gives this layout", expected=", ".join(GIVES), got=self.layout)
        if self.vision and not (Path(self.vision) / "config.json").is_file():
            hint = "a folder written by transformers' save_pretrained, with model.safetensors"
            raise InputError("not a vision model's folder", where=self.vision, expected="config.json", hint=hint)


@dataclass(frozen=True)
class Job:
    """One video. first, last: frames of the sign from 1, both included; -1 to the end. label, subject, split: of its
    folders or the index.
    """

    name: str
    video: str
    out: str
    settings: Settings
    first: int = 1
    last: int = TO_THE_END
    label: str | None = None
    subject: str = ""
    split: str = ""

    @property
    def identity(self) -> str:
        """sha256 of what decides the result: settings, frames, and the video by size and time of its last change."""
        stat = Path(self.video).stat()
        about = [asdict(self.settings), self.first, self.last, stat.st_size, stat.st_mtime_ns]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def plan_jobs(
    videos: Path, out: Path, settings: Settings, *, index: Path | None = None, folders: str = ""
) -> list[Job]:
    """A job for each video below a folder, or of those that an NSLT subset names; `InputError` where there are none.

    folders: what the levels of folders mean, from `videos` down, such as `split/label/person`, see `LEVELS`. Without it
    one level is the label and a video without a folder has none; more are a `UsageError`.
    """
    if folders and index is not None:
        raise UsageError("--folders and --index both say what a video shows", hint="one of them")
    if not videos.is_dir():
        raise InputError("not a folder of videos", where=videos)
    found = sorted(path for path in videos.rglob("*") if path.suffix.lower() in VIDEOS)
    if index is None:
        jobs = list(_by_folder(found, videos, out, settings, _levels(folders, found, videos)))
    else:
        subset = Subset(index)
        jobs = list(_by_index(found, out, settings, subset))
        subset.tell_missing(videos)
    if not jobs:
        raise InputError("no videos found", where=videos, expected=" ".join(VIDEOS))
    return jobs


def _levels(text: str, found: list[Path], videos: Path) -> tuple[str, ...]:
    """The meaning of each level of folders; `UsageError` for what is no meaning, or for several levels without one."""
    levels = tuple(text.split("/")) if text else ("label",)
    if not set(levels) <= set(LEVELS) or any(levels.count(name) > 1 for name in LEVELS[:-1]):
        expected = f"{', '.join(LEVELS)} with / between, such as split/label/person"
        raise UsageError("--folders names what each level of folders means", expected=expected, got=text)
    deepest = max((path.relative_to(videos).parts[:-1] for path in found), key=len, default=())
    if not text and len(deepest) > 1:
        tops = {path.relative_to(videos).parts[0].lower() for path in found}
        guess = ("split/label/person" if tops <= set(SPLITS) else "label/person/-").split("/")
        meaning = "/".join((guess + ["-"] * len(deepest))[: len(deepest)])
        raise UsageError("which folder is the label?", where=videos / Path(*deepest), expected="--folders",
                         got=f"{len(deepest)} levels of folders", hint=f"--folders {meaning}")  # fmt: skip
    return levels


def _by_folder(
    found: list[Path], videos: Path, out: Path, settings: Settings, levels: tuple[str, ...]
) -> Iterator[Job]:
    for path in found:
        name, parts = path.relative_to(videos).as_posix(), path.relative_to(videos).parts[:-1]
        if len(parts) != len(levels) and (parts or levels != ("label",)):
            expected = f"{'/'.join(levels)}/FILE, as --folders says"
            raise InputError("a video lies at another level", where=path, expected=expected)
        about = dict(zip(levels, parts, strict=False))
        split = about.get("split", "")
        if split and split.lower() not in SPLITS:
            raise InputError("no split is called so", where=path, expected=", ".join(SPLITS), got=split)
        yield Job(
            name, str(path), _target(out, name), settings, label=about.get("label"), subject=about.get("person", ""),
            split=SPLITS.get(split.lower(), ""),
        )  # fmt: skip


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


def _by_index(found: list[Path], out: Path, settings: Settings, subset: Subset) -> Iterator[Job]:
    for path in found:
        if subset.has(path.name):
            row, about = subset.rows[path.stem], subset.about(path.name)
            yield Job(
                path.stem, str(path), _target(out, path.stem), settings, row.first, row.last, about["label"],
                split=about["split"] or "",
            )  # fmt: skip


def _target(out: Path, name: str) -> str:
    return str(out / CLIPS / f"{name}.npz")
