"""Tables of WLASL, `nslt_100.json` to `nslt_2000.json` and `WLASL_v0.3.json`: recordings' signs, frames and splits."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from last_edge import records
from last_edge.errors import InputError
from last_edge.skeleton.clip import SkeletonClip

CLASS_LIST = "wlasl_class_list.txt"
SPLITS = ("train", "val", "test")
TO_THE_END = -1
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NsltClip:
    """One recording. first, last: frames of the sign, counted from 1, both included; -1: to its end.

    subject: the signer, "" where the table names none.
    """

    label: int
    split: str
    first: int
    last: int
    subject: str = ""


def read_nslt(path: Path) -> dict[str, NsltClip]:
    """Recordings of a subset by id; `InputError` names the first row that is not as the format has it."""
    values = records.read_json(path)
    if isinstance(values, list) and values:
        return _wlasl(values, path)[0]
    if not isinstance(values, dict) or not values:
        raise InputError("no NSLT subset", where=path, expected='{"05237": {"subset": "train", "action": [77, 1, 55]}}')
    return {str(name): _row(row, f"{path} › {name}") for name, row in values.items()}


def nslt_labels(path: Path) -> tuple[str, ...]:
    """Class names in the subset's order, from the class list beside it; the classes' numbers where there is none.

    Of `WLASL_v0.3.json` its glosses.
    """
    values = records.read_json(path)
    if isinstance(values, list):
        return _wlasl(values, path)[1]
    classes = 1 + max(row.label for row in read_nslt(path).values())
    listed = path.parent / CLASS_LIST
    if not listed.is_file():
        return tuple(str(label) for label in range(classes))
    names = dict(line.split("\t", 1) for line in listed.read_text(encoding="utf-8").splitlines() if "\t" in line)
    missing = [str(label) for label in range(classes) if str(label) not in names]
    if missing:
        raise InputError("class list does not name every class", where=listed, expected=classes, got=f"no {missing[0]}")
    return tuple(names[str(label)].strip() for label in range(classes))


class Subset:
    """A subset and its class names, applied to recordings as they are read."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.labels = path, read_nslt(path), nslt_labels(path)
        self._met: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether a file is a recording of the subset; its name without the ending is the id."""
        return PurePosixPath(name).stem in self.rows

    def about(self, name: str) -> dict[str, str | None]:
        """Label and official split of a recording."""
        row = self.rows[PurePosixPath(name).stem]
        self._met.add(PurePosixPath(name).stem)
        return {
            "label": self.labels[row.label],
            "split": row.split,
            **({"subject": row.subject} if row.subject else {}),
        }

    def cut(self, clip: SkeletonClip, name: str) -> SkeletonClip:
        """The frames that show the sign, as many of them as the recording has; `InputError` when it has none."""
        row = self.rows[PurePosixPath(name).stem]
        last = clip.frames if row.last == TO_THE_END else min(row.last, clip.frames)
        if row.first > last:
            expected = f"frames {row.first} to {row.last}"
            raise InputError(
                "recording ends before its sign", where=name, expected=expected, got=f"{clip.frames} frames"
            )
        rows = slice(row.first - 1, last)
        return dataclasses.replace(clip, coords=clip.coords[:, rows], confidence=clip.confidence[:, rows])

    def tell_missing(self, source: Path) -> None:
        """Warn of recordings that are in the subset alone: of WLASL many are no longer to be had."""
        missing = len(self.rows) - len(self._met)
        if missing:
            logger.warning(
                "%d of the %d recordings of %s are not in %s", missing, len(self.rows), self.path.name, source
            )


def _row(row: Any, where: str) -> NsltClip:
    try:
        split, (label, first, last) = row["subset"], row["action"]
        made = NsltClip(int(label), str(split), int(first), int(last))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        expected = '{"subset": ..., "action": [class, first, last]}'
        raise InputError("not a row of an NSLT subset", where=where, expected=expected, got=row) from error
    if made.split not in SPLITS or made.label < 0 or made.first < 1 or not (made.last == TO_THE_END or made.last >= 1):
        raise InputError(
            "not a row of an NSLT subset", where=where, expected=f"a split of {SPLITS}, frames >= 1", got=row
        )
    return made


def _wlasl(values: list[Any], path: Path) -> tuple[dict[str, NsltClip], tuple[str, ...]]:
    """Recordings by id and glosses in order of `WLASL_v0.3.json`; `InputError` names the row that is not so."""
    rows: dict[str, NsltClip] = {}
    glosses = []
    for label, entry in enumerate(values):
        where = f"{path} › {label}"
        expected = '{"gloss": ..., "instances": [{"video_id", "split", "frame_start", "frame_end", "signer_id"}]}'
        if not isinstance(entry, dict) or not isinstance(entry.get("instances"), list) or "gloss" not in entry:
            raise InputError("not a row of WLASL", where=where, expected=expected, got=str(entry)[:80])
        glosses.append(str(entry["gloss"]))
        for instance in entry["instances"]:
            needed = ("video_id", "split", "frame_start", "frame_end")
            if not isinstance(instance, dict) or any(instance.get(name) is None for name in needed):
                raise InputError("not a row of WLASL", where=where, expected=expected, got=str(instance)[:80])
            row = {"subset": instance["split"], "action": [label, instance["frame_start"], instance["frame_end"]]}
            made = _row(row, f"{where} › {instance['video_id']}")
            rows[str(instance["video_id"])] = dataclasses.replace(made, subject=str(instance.get("signer_id", "")))
    if not rows:
        raise InputError("no recording in the table", where=path)
    return rows, tuple(glosses)
