"""How soon a model knows a gesture: accuracy on cut clips by the share of their frames that it has seen."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle, is_bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, labelled_as, labelled_clips, of_people
from last_edge.errors import UsageError
from last_edge.export.proof.evaluate import deployed
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.names import is_background
from last_edge.tasks.class_learner import predict
from last_edge.tasks.stream.learner import frame_logits
from last_edge.train.checkpoint import Which, load_checkpoint

SHARES = tuple(range(10, 101, 10))
"""Percent of a clip's frames."""
Clips = NDArray[np.int64]
Answer = Callable[[ClipStore, Clips], NDArray[np.float32]]


def observed(
    path: Path, store: ClipStore, *, split: str = "test", precision: str | None = None, which: Which | None = None,
    subjects: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Percent of a split's clips that are right, by percent of their frames seen, from `SHARES`.

    subjects: only these people of the split, as those whom a training held out of the train split; all unless named.

    A model of clips is asked about the first frames as a window of their own. One that answers at every frame is played
    the clip from its first frame; its newest answer counts, background aside, and at 100% the answer for the last
    frame, which stands still for the model's delay. Raises `InputError` for labels never learnt, `UsageError` for a
    translator and for people without a clip in the split.
    """
    answer, spec, labels, late_s = _opened(path, precision, which)
    check_points(store, spec)
    own = labelled_as(store, labels, split)
    clips = of_people(own, labelled_clips(own, split), subjects)
    truth, length = own.index.label[clips], own.index.length[clips]
    shown = [place for place, label in enumerate(labels) if not is_background(label)]
    curve = {}
    if late_s is None:
        for share in SHARES:
            index = replace(own.index, length=np.maximum(1, np.round(own.index.length * share / 100)).astype(np.int64))
            curve[share] = answer(replace(own, index=index), clips)
    else:
        every, starts = answer(own, clips), np.cumsum(length) - length
        late = np.ceil(late_s * own.index.fps[clips])
        for share in SHARES:
            newest = np.round(length * share / 100) - 1 - (late if share < 100 else 0)
            curve[share] = every[starts + np.maximum(newest, 0).astype(np.int64)]
    right = {share: np.array(shown)[logits[:, shown].argmax(1)] == truth for share, logits in curve.items()}
    return {
        "observed": {str(share): round(100 * float(hits.mean()), 2) for share, hits in right.items()},
        "n": len(clips), "split": split, "subjects": list(subjects),
    }  # fmt: skip


def _opened(
    path: Path, precision: str | None, which: Which | None
) -> tuple[Answer, Any, tuple[str, ...], float | None]:
    """What answers, its input and labels, and seconds that an answer comes late; None for a model of clips."""
    if is_bundle(path):
        bundle = Bundle.open(path).recogniser()
        files, manifest = deployed(bundle, precision or "fp32"), bundle.manifest
        late_s = None if manifest.stream is None else manifest.stream.delay_s
        return lambda store, clips: np.asarray(files.answers(store, clips)), manifest.input, manifest.labels, late_s
    if precision == "int8":
        raise UsageError("a run has no INT8 file", where=path, hint="last-edge export, last-edge quantize")
    checkpoint = load_checkpoint(path, which or "best")
    model, spec, labels = checkpoint.model, checkpoint.spec, checkpoint.labels
    if isinstance(model, LastLiteStream):
        return lambda store, clips: frame_logits(model, store, clips), spec, labels, model.delay / model.rate
    return lambda store, clips: np.asarray(predict(model, store, clips, spec=spec)), spec, labels, None
