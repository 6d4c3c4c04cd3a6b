"""Runs that are made to be compared: each done once, validated or tested clip by clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips
from last_edge.errors import InputError
from last_edge.tasks.class_learner import predict
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import make_plan
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.run_folder import FINAL, FinishedRun

P = ParamSpec("P")


def once(out: Path, run: Callable[P, dict[str, Any]], *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
    """What `run` in folder `out` gives, or what it gave when it was done before with these very settings."""
    try:
        return run(*args, **kwargs)
    except FinishedRun:
        return dict(records.read_json(out / FINAL))


def compared_clips(store: ClipStore, recipe: Recipe, split: str) -> NDArray[np.int64]:
    """Clips of `val`, as the recipe holds them out, or of `test`; `InputError` when there are none."""
    if split == "test":
        return labelled_clips(store, "test")
    clips = make_plan(store, recipe).val
    if not len(clips):
        hint = "--set validation.fraction=0.1"
        raise InputError("no validation clips to compare on", where=store.path, hint=hint)
    return clips


def hits_of(run: Path, store: ClipStore, clips: NDArray[np.int64], *, device: str = "cpu") -> NDArray[np.bool_]:
    """(n,) whether a finished run's chosen checkpoint is right about each clip."""
    checkpoint = load_checkpoint(run)
    check_fits(store, checkpoint.spec, checkpoint.labels)
    logits = predict(checkpoint.model.to(device), store, clips, spec=checkpoint.spec, device=device)
    return np.asarray(logits.argmax(1) == store.index.label[clips])


def as_digits(hits: NDArray[np.bool_]) -> str:
    """Right and wrong answers as 1 and 0, one a clip."""
    return "".join("1" if hit else "0" for hit in hits)
