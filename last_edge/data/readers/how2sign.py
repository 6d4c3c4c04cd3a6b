"""How2Sign: OpenPose key points of cut sentences (one JSON a frame) and the realigned CSV (Duarte et al. 2021)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.pose_file import OPENPOSE_PARTS
from last_edge.data.readers.archive import locate, members, one_file, size_of_image, table_rows
from last_edge.errors import InputError
from last_edge.skeleton import SkeletonClip, get_layout

FRAME_NAME = re.compile(r"([^/]+)/[^/]*?_(\d{6,12})_keypoints\.json$")
TABLE_NAME = re.compile(r"how2sign_(?:realigned_)?(train|val|test)\.csv$")
COLUMNS = ("VIDEO_ID", "SENTENCE_NAME", "SENTENCE")
FPS = 24.0
POINTS = 137
Frame = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Row:
    """A sentence of the table. subject: the video it is cut from, whose signer the public tables do not name."""

    text: str
    video: str
    split: str


def read_how2sign(source: Path, *, image_size: str = "1280x720", fps: float = FPS) -> Iterator[SkeletonClip]:
    """Sentences that have both key points and a row in a table, the first person only, in `image01`.

    source: a folder or archive with `SENTENCE_NAME/..._000000000000_keypoints.json` and
    `how2sign_realigned_train.csv`, `_val.csv`, `_test.csv` (tab- or comma-separated). image_size: of the recordings,
    whose height is the unit. The split is the table's. A frame in which nobody is found has no points. Raises
    `InputError` naming the file, and where not one sentence has both.
    """
    height = size_of_image(image_size)[1]
    rows = _tables(source)
    met = False
    for name, frames in _sentences(source, rows):
        met, row = True, rows[name]
        points, sure = (np.stack(parts) for parts in zip(*frames, strict=True))
        yield SkeletonClip.from_points(
            points[None] / height, layout=get_layout("openpose137"), fps=fps, units="image01", confidence=sure[None],
            subject=row.video, split=row.split, source_id=name, text=row.text,
        )  # fmt: skip
    if not met:
        raise InputError("no key points of a listed sentence", where=source, expected="SENTENCE_NAME/*_keypoints.json")


def _tables(source: Path) -> dict[str, Row]:
    """Sentence name -> row, of every table of the source."""
    rows: dict[str, Row] = {}
    for name, content in members(source, lambda name: TABLE_NAME.search(name) is not None):
        found, where = TABLE_NAME.search(name), locate(source, name)
        delimiter = "\t" if b"\t" in content.partition(b"\n")[0] else ","
        for place, row in table_rows(content, where, needed=COLUMNS, more=None, delimiter=delimiter):
            sentence = row["SENTENCE_NAME"]
            if not sentence or sentence in rows:
                raise InputError("sentence listed twice, or without a name", where=place, got=sentence)
            rows[sentence] = Row(row["SENTENCE"].strip(), row["VIDEO_ID"], found[1] if found else "")
    if not rows:
        raise InputError("no table of sentences", where=source, expected="how2sign_realigned_train.csv, _val or _test")
    return rows


def _sentences(source: Path, rows: dict[str, Row]) -> Iterator[tuple[str, list[Frame]]]:
    """Listed sentences with a text, each with its frames in order; frames of one sentence lie together."""
    current, frames = "", list[tuple[int, Frame]]()
    done: set[str] = set()
    for name, content in members(source, lambda name: FRAME_NAME.search(name) is not None):
        found = FRAME_NAME.search(name)
        sentence, number = (found[1], int(found[2])) if found else ("", 0)
        if sentence not in rows or not rows[sentence].text:
            continue
        if sentence != current and frames:
            with one_file():
                yield current, _in_order(frames, done, locate(source, current), current)
            frames = []
        current = sentence
        with one_file():
            frames.append((number, _frame(content, locate(source, name))))
    if frames:
        with one_file():
            yield current, _in_order(frames, done, locate(source, current), current)


def _in_order(frames: list[tuple[int, Frame]], done: set[str], where: str, sentence: str) -> list[Frame]:
    """Frames by number; `InputError` where one is absent or twice, or a sentence comes in two places."""
    numbers = sorted(number for number, _ in frames)
    if numbers != list(range(len(numbers))) or sentence in done:
        raise InputError("frames are not numbered from 0 without a gap", where=where, got=numbers[:5])
    done.add(sentence)
    return [frame for _, frame in sorted(frames, key=lambda pair: pair[0])]


def _frame(content: bytes, where: str) -> Frame:
    """(137, 2) pixels and (137,) confidence of the first person; no confidence where nobody is found."""
    said = records.parse_json(content, where=where)
    people = said.get("people") if isinstance(said, dict) else None
    if not isinstance(people, list):
        raise InputError("not a key point file of OpenPose", where=where, expected='{"people": [...]}')
    if not people:
        return np.zeros((POINTS, 2), np.float32), np.zeros(POINTS, np.float32)
    packed = np.concatenate([_part(people[0], name, count, where) for name, _, count in OPENPOSE_PARTS])
    return packed[:, :2], packed[:, 2].clip(0, 1)


def _part(person: Any, name: str, count: int, where: str) -> NDArray[np.float32]:
    """(count, 3) x, y, confidence of a part of the body."""
    values = person.get(name) if isinstance(person, dict) else None
    if not isinstance(values, list) or len(values) != 3 * count:
        got = len(values) if isinstance(values, list) else "nothing"
        raise InputError(f"{name} of the wrong length", where=where, expected=f"{3 * count} numbers", got=got)
    try:
        packed = np.array(values, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} holds something else than numbers", where=where) from error
    if not np.isfinite(packed).all():
        raise InputError("NaN or infinite point", where=where, got=name)
    return packed.reshape(count, 3)
