"""What whole videos show and when, of a table or of ELAN's files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from last_edge.data.readers.archive import table_rows
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Annotation

ELAN = ".eaf"
Seconds = tuple[str, float, float]
"""Label, seconds from, seconds to."""


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
