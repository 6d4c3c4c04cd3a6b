"""What there is to extract: one job a video, each with its sign's frames and where its result goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from last_edge.data.readers.nslt import TO_THE_END, Subset
from last_edge.errors import InputError, UsageError
from last_edge.runtime.landmarks import GIVES

VIDEOS = (".mp4", ".mov", ".avi", ".webm", ".mkv")
CLIPS = "clips"


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
    """One video. first, last: frames of the sign from 1, both included; -1 to the end. label, split: of the index."""

    name: str
    video: str
    out: str
    settings: Settings
    first: int = 1
    last: int = TO_THE_END
    label: str | None = None
    split: str = ""

    @property
    def identity(self) -> str:
        """sha256 of what decides the result: settings, frames, and the video by size and time of its last change."""
        stat = Path(self.video).stat()
        about = [asdict(self.settings), self.first, self.last, stat.st_size, stat.st_mtime_ns]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def plan_jobs(videos: Path, out: Path, settings: Settings, *, index: Path | None = None) -> list[Job]:
    """A job for each video below a folder, or of those that an NSLT subset names; `InputError` where there are none.

    Without an index a video's folder below `videos` is its label; a video beside it has none.
    """
    if not videos.is_dir():
        raise InputError("not a folder of videos", where=videos)
    found = sorted(path for path in videos.rglob("*") if path.suffix.lower() in VIDEOS)
    if index is None:
        jobs = list(_by_folder(found, videos, out, settings))
    else:
        subset = Subset(index)
        jobs = list(_by_index(found, out, settings, subset))
        subset.tell_missing(videos)
    if not jobs:
        raise InputError("no videos found", where=videos, expected=" ".join(VIDEOS))
    return jobs


def _by_folder(found: list[Path], videos: Path, out: Path, settings: Settings) -> Iterator[Job]:
    for path in found:
        name = path.relative_to(videos).as_posix()
        label = path.parent.name if path.parent != videos else None
        yield Job(name, str(path), _target(out, name), settings, label=label)


def _by_index(found: list[Path], out: Path, settings: Settings, subset: Subset) -> Iterator[Job]:
    for path in found:
        if subset.has(path.name):
            row, about = subset.rows[path.stem], subset.about(path.name)
            yield Job(
                path.stem, str(path), _target(out, path.stem), settings, row.first, row.last, about["label"],
                about["split"] or "",
            )  # fmt: skip


def _target(out: Path, name: str) -> str:
    return str(out / CLIPS / f"{name}.npz")
