"""The store as a session finds it: whole, with the takes of one that was cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from last_edge.clips import ClipStore
from last_edge.clips.store import HEADER
from last_edge.clips.writer import append_clips
from last_edge.files import recover
from last_edge.runtime.record.journal import Journal
from last_edge.runtime.record.target import AXES


def about(units: str) -> dict[str, str]:
    """What a store of recorded clips says of itself."""
    return {"dataset": "recorded", "title": "recorded with last-edge record", "licence": "of who recorded it",
            "source": "last-edge record", "axes": AXES[units]}  # fmt: skip


def rescue(store: Path, *, on_notice: Callable[[str], None] = lambda text: None) -> ClipStore | None:
    """The store with the takes of a session that was cut off, if there are any; None where there is no store.

    Raises `InputError` when one of them is damaged.
    """
    recover(store)
    journal = Journal(store)
    opened = ClipStore.open(store) if (store / HEADER).is_file() else None
    if not len(journal):
        return opened
    known = set() if opened is None else set(opened.index.source_id.tolist())
    if clips := [clip for clip in journal.clips() if clip.source_id not in known]:
        opened = append_clips(store, clips, about=about(clips[0].units))
        on_notice(f"{len(clips)} takes of a session that was cut off are in the store now")
    journal.clear()
    return opened
