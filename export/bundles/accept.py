"""The probability from which a bundle's answers are worth reporting, found on people the weights never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.tasks.metrics import softmax
from last_edge.train.checkpoint import Checkpoint
from last_edge.train.run_folder import CHECKPOINTS, FINAL

# Share of reported answers, in percent, that must be right, and how many answers it takes to say so.
RIGHT = 95.0
LEAST_ACCEPTED = 20
DECIMALS = 3


def validation_clips(checkpoint: Checkpoint, store: ClipStore) -> NDArray[np.int64]:
    """The labelled training clips of the people that the checkpoint's finished run held out, and of the `val` split.

    None (n = 0) for a run that held nobody out, one that is not finished, or a store it was not trained on. Test
    clips are never among them. `InputError` when the run's `final.json` is damaged.
    """
    held = held_out_subjects(checkpoint.path)
    if not held or store.sha256 != checkpoint.card.store_sha256:
        return np.zeros(0, np.int64)
    clips = np.concatenate([store.select(split="train", subjects=held), store.select(split="val")])
    return np.sort(clips[store.index.label[clips] >= 0])


def accept_threshold(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """`thresholds` of a manifest from validation logits (n, K) and classes (n,); empty when no threshold serves.

    accept: the lowest top probability at and above which at least 95% of answers are right. accept_right: how many
    are, in percent. accept_share: percent of clips that are answered at all. accept_clips: n. Where that share holds of
    all clips, they say nothing of what to refuse, and a stream has idle time that no clip shows: the runtime's own
    threshold stays.
    """
    probabilities = softmax(logits)
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    if not len(labels) or 100.0 * float(right.mean()) >= RIGHT:
        return {}
    for lowest in np.unique(np.floor(top * 10**DECIMALS) / 10**DECIMALS):
        accepted = top >= lowest
        share = 100.0 * float(right[accepted].mean())
        if accepted.sum() >= LEAST_ACCEPTED and share >= RIGHT:
            found = {
                "accept_right": share,
                "accept_share": 100.0 * float(accepted.mean()),
                "accept_clips": float(len(top)),
            }
            return {"accept": round(float(lowest), DECIMALS), **{name: round(x, 2) for name, x in found.items()}}
    return {}


def held_out_subjects(checkpoint: Path) -> tuple[str, ...]:
    """`val_subjects` of the run that a checkpoint folder lies in; none where it lies in no finished run."""
    path = checkpoint.parent.parent / FINAL
    if checkpoint.parent.name != CHECKPOINTS or not path.exists():
        return ()
    final = records.read_json(path)
    subjects = final.get("val_subjects", []) if isinstance(final, dict) else None
    if not isinstance(subjects, list):
        raise InputError("not the record of a finished run", where=path, expected="val_subjects: a list")
    return tuple(map(str, subjects))
