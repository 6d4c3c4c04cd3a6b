"""Runs read back and measured on clips of a store."""

from pathlib import Path
from typing import Any

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.tasks.task import check_options
from last_edge.train.checkpoint import Which, load_checkpoint, task_of_run


def evaluate_run(
    path: Path, store: ClipStore, *, split: str = "test", which: Which = "best", merge_at: str = "",
    beam: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures of a run's checkpoint on a split of a store, whose labels are matched by name.

    merge_at: see `last_edge.tasks.metrics.merged`. beam: of a search for sentences, instead of the recipe's.
    `InputError` for labels that the run did not learn, `UsageError` for an option that its model has no use for.
    """
    task = task_of_run(path)
    check_options(task, {"--merge-at": merge_at, "--beam": beam is not None}, where=path)
    checkpoint = load_checkpoint(path, which)
    check_points(store, checkpoint.spec)
    store = task.labelled_as(store, checkpoint.labels, split)
    return task.measured(checkpoint, store, task.clips(store, split), merge_at=merge_at, beam=beam)
