"""Streaming: what is shown at every frame of a long recording, from that frame and those before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from last_edge.bundle.manifest import (
    ELAPSED_NAME,
    EVENT_FIGURES,
    FRAME_NAME,
    NEXT_STATE,
    OUTPUT_NAME,
    STATE,
    model_file,
)
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.errors import InputError, UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.names import is_background, nearest
from last_edge.tasks.config import QuantizeConfig, Recipe, TrainingConfig
from last_edge.tasks.plan import Plan, stream_plan
from last_edge.tasks.recognition import BATCH_AXIS
from last_edge.tasks.stream.frames import BACKGROUND, frame_figures, relabelled, stream_labels, taught
from last_edge.tasks.task import Answers, Candidate, Clips, Gate, Graph, Trained, Views, Wanted, at_least

if TYPE_CHECKING:
    from torch import nn

    from last_edge.models.last_lite_stream import LastLiteStream
    from last_edge.tasks.start import Start
    from last_edge.tasks.stream.learner import StreamLearner

ONLY_CLIPS = ("loss", "class_weights", "mixup", "compile", "label_share", "augment_on")
"""Settings of a training that only a classifier of clips can follow."""
OF_CLIPS = {"crop": 1.0, "warp": 0.0, "noise_velocity": 0.0, "noise_bone": 0.0}
"""Changes to clips that recordings do not know, and the value that asks for none."""


class Streaming:
    """See `Task`. Clips are the long recordings of a store; its classes have background behind them."""

    name = "streaming"
    kept: tuple[str, ...] = ("frames", "mean_class", "n")
    gives, others = "network for streams", "classifiers of clips"
    foreign = frozenset(
        {"--dynamic-time", "--plain", "--target", "--qat", "--keep-float auto", "--compare",
         "quantize.equalise", "--merge-at", "--mirror", "--beam"}
    )  # fmt: skip
    by_frame = True

    def fitted(self, recipe: Recipe, store: ClipStore) -> Recipe:
        usual, hint = TrainingConfig(), "--recipe shrec21_stream has values for streams"
        for name in ONLY_CLIPS:
            if getattr(recipe.training, name) != (expected := getattr(usual, name)):
                got = getattr(recipe.training, name)
                raise UsageError(f"training.{name} is for classifiers of clips", expected=expected, got=got)
        for name, none in OF_CLIPS.items():
            if (got := getattr(recipe.augment, name)) != none:
                raise UsageError(f"augment.{name} is for clips", expected=none, got=got, hint=hint)
        return recipe

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        """See `stream_plan` and `taught`."""
        return stream_plan(taught(store), recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> StreamLearner:
        """See `Task`; `UsageError` for fixed views."""
        from last_edge.tasks.stream.learner import StreamLearner

        if views is not None and views.count:
            raise UsageError("recordings have no fixed views", hint="--set distill.cache_views=0")
        return StreamLearner(plan, recipe, start=start, device=device)

    def build(self, name: str, *, spec: InputSpec, outputs: int, options: Mapping[str, Any]) -> nn.Module:
        from last_edge.models.registry import create_streamer

        model: nn.Module = create_streamer(name, spec=spec, classes=outputs, **options)
        return model

    def clips(self, store: ClipStore, split: str) -> Clips:
        """The recordings of a split; `InputError` when there are none."""
        clips = self.usable(store, split)
        if not len(clips):
            splits = sorted({str(store.index.split[clip]) for clip in store.recordings()})
            hint = "last-edge data info STORE shows what it holds"
            raise InputError(
                "no long recordings in this split", where=store.path, expected=split, got=splits or "clips", hint=hint
            )
        return clips

    def graphs(self, model: LastLiteStream, *, name: str, dynamic_time: bool = False) -> tuple[Graph, ...]:
        """One, from a frame of each person and their states to logits, seconds since it began and the next states."""
        import torch

        from last_edge.models.stream_step import StreamStep

        spec, step = model.spec, StreamStep(model)
        inputs = {FRAME_NAME: torch.zeros(2, spec.layout.joints, spec.channels)}
        inputs |= {f"{STATE}{part}": value for part, value in model.initial_state(2).items()}
        outputs = (OUTPUT_NAME, ELAPSED_NAME, *(f"{NEXT_STATE}{part}" for part in step.names))
        return (Graph(model_file("fp32"), name, step, inputs, {part: {0: BATCH_AXIS} for part in inputs}, outputs),)

    def usable(self, store: ClipStore, split: str) -> Clips:
        return store.recordings(split)

    def check_store(self, store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> ClipStore:
        """See `Task`, and `taught`."""
        check_points(store, spec)
        if (*store.labels, BACKGROUND) == labels:
            return store
        if (got := stream_labels(store)) != labels:
            raise InputError("store has other labels", where=store.path, expected=labels, got=got)
        return taught(store)

    def fits(self, store: ClipStore, labels: tuple[str, ...]) -> bool:
        """See `Task`; it has recordings to test."""
        return stream_labels(store) == labels and len(store.recordings("test")) > 0

    def told_apart(self, labels: tuple[str, ...], layout: str) -> str:
        return f"streams of {layout}"

    def labelled_as(self, store: ClipStore, labels: tuple[str, ...], split: str) -> ClipStore:
        """The store with its spans numbered as an artefact numbers its classes, matched by name."""
        if stream_labels(store) == labels:
            return taught(store)
        known = tuple(label for label in labels if not is_background(label))
        shown = {int(label) for clip in self.clips(store, split) for label in store.index.spans[clip][:, 0]}
        names = [store.labels[label] for label in sorted(shown)]
        unknown = [name for name in names if name not in known and not is_background(name)]
        if unknown:
            close = ", ".join(f"{name}: {' or '.join(nearest(name, known))}" for name in unknown)
            hint = "last-edge eval ... --stream --unknown '*' plays them as movements that mean nothing"
            raise InputError(
                "labels that were never learnt", where=store.path, expected=", ".join(known),
                got=f"{unknown} ({close})", hint=hint,
            )  # fmt: skip
        return relabelled(store, known)

    def figures(
        self, answers: Answers, store: ClipStore, clips: Clips, *, labels: tuple[str, ...], merge_at: str = ""
    ) -> dict[str, Any]:
        """Shares of frames in percent. answers: (F, K) logits of all frames of the recordings, one after another."""
        return frame_figures(np.asarray(answers).argmax(1), np.asarray(self.wanted(store, clips)), labels)

    def in_words(self, figures: Mapping[str, Any]) -> str:
        return f"{figures['frames']}% of {figures['n']} frames, {figures['mean_class']}% as a mean over classes"

    def measured(
        self, trained: Trained, store: ClipStore, clips: Clips, *, merge_at: str = "", beam: int | None = None
    ) -> dict[str, Any]:
        from last_edge.tasks.stream.learner import frame_logits

        logits = frame_logits(trained.model, store, clips)
        return self.figures(logits, store, clips, labels=trained.labels, merge_at=merge_at)

    def wanted(self, store: ClipStore, clips: Clips) -> Wanted:
        """Class of every frame, (F,), at the recordings' own rate."""
        parts = []
        for clip in clips:
            shown = np.full(int(store.index.length[clip]), len(store.labels), np.int64)
            for label, first, last in store.index.spans[clip]:
                shown[first : last + 1] = label
            parts.append(shown)
        return np.concatenate(parts)

    def gates(
        self, candidate: Candidate, wanted: Wanted, limits: QuantizeConfig, *, judge_speed: bool = True
    ) -> list[Gate]:
        """Equal answers a frame, size and speed."""
        same = np.asarray(candidate.answers).argmax(1) == np.asarray(candidate.reference).argmax(1)
        equal = at_least("equal answers in % of frames", 100.0 * float(same.mean()), limits.min_agreement)
        return [equal, *candidate.costs(limits, judge_speed=judge_speed)]

    def margins(self, classes: Clips) -> dict[str, float]:
        """A frame or gesture in a hundred may change, because another processor rounds a near tie the other way."""
        events = {name: 0.0 if name == "gestures" else 0.01 for name in EVENT_FIGURES}
        return {"frames": 1.0, "mean_class": 1.0, "n": 0.0, **events}
