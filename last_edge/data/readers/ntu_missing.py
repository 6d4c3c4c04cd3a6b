"""The clips of NTU RGB+D whose skeletons are missing: the authors' list, or a user's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from last_edge.data.readers.ntu_names import CLIP_ID
from last_edge.errors import InputError

OFFICIAL = "official"
NONE = "none"
SHIPPED = Path(__file__).with_name("ntu_missing.txt")


def missing_ids(choice: str | Path = OFFICIAL) -> frozenset[str]:
    """Clip ids to leave out: the `official` 535 of NTU 120 (302 of them in NTU 60), `none`, or those of a file."""
    if str(choice) == NONE:
        return frozenset()
    return _official() if str(choice) == OFFICIAL else read_missing_list(Path(choice))


@cache
def _official() -> frozenset[str]:
    return read_missing_list(SHIPPED)


def read_missing_list(path: Path) -> frozenset[str]:
    """Clip ids of a text file, one a line, with or without `.skeleton`; headings are skipped."""
    try:
        ids = frozenset(CLIP_ID.findall(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        hint = "--missing-list official, none, or a file"
        raise InputError("missing list cannot be read", where=path, got=error, hint=hint) from error
    if not ids:
        raise InputError("missing list names no clip", where=path, expected="SsssCcccPpppRrrrAaaa on each line")
    return ids
