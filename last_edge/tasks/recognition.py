"""Recognition: the class of a clip; and pre-training of the same models, without their heads."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME, model_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_as, labelled_clips
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import QuantizeConfig, Recipe
from last_edge.tasks.metrics import agreement_holds, metrics_of, wilson
from last_edge.tasks.plan import Plan, make_plan, pretrain_plan
from last_edge.tasks.task import Answers, Candidate, Clips, Gate, Graph, Trained, Views, Wanted, at_most

if TYPE_CHECKING:
    from torch import nn

    from last_edge.models.landmark_model import LandmarkModel
    from last_edge.tasks.class_learner import ClassLearner
    from last_edge.tasks.maskclr import TrunkLearner
    from last_edge.tasks.start import Start

Hits = NDArray[np.bool_]
BATCH_AXIS, TIME_AXIS = "batch", "time"
# Frames of the example behind a free time axis: any number but 1 and the window's own.
EXAMPLE_FRAMES = 37
# Below this many clips a figure must come out the same.
ENOUGH_CLIPS = 100
# Half a unit of the last decimal of a share in percent, twice.
ROUNDING = 0.01
# Points the calibration error may move between processors: unlike a share of clips it is not made of whole clips.
ECE_TOLERANCE = 0.3


class Recognition:
    name = "recognition"
    kept: tuple[str, ...] = ("top1", "top3", "top5", "mean_class", "ece", "n")
    gives, others = "classifier", "translators"
    foreign = frozenset({"--beam"})
    by_frame = False

    def fitted(self, recipe: Recipe, store: ClipStore) -> Recipe:
        """See `Task`; of a model with a second input the width of the store's features."""
        from last_edge.tasks.class_learner import fit_second_input

        return fit_second_input(recipe, store)

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        return make_plan(store, recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> ClassLearner:
        from last_edge.tasks.class_learner import ClassLearner

        return ClassLearner(plan, recipe, start=start, views=views, device=device)

    def build(self, name: str, *, spec: InputSpec, outputs: int, options: Mapping[str, Any]) -> nn.Module:
        from last_edge.models import create_model

        return create_model(name, spec=spec, classes=outputs, **options)

    def graphs(self, model: LandmarkModel, *, name: str, dynamic_time: bool = False) -> tuple[Graph, ...]:
        """One, from raw landmarks and, where the model has a second input, features to logits."""
        import torch
        from torch import nn

        from last_edge.models.front import Resample

        *bodies, frames, joints, channels = model.spec.shape
        inputs = {INPUT_NAME: torch.zeros(2, *bodies, EXAMPLE_FRAMES if dynamic_time else frames, joints, channels)}
        free = {INPUT_NAME: {0: BATCH_AXIS, **({1 + len(bodies): TIME_AXIS} if dynamic_time else {})}}
        if model.features is not None:
            inputs[model.features.name], free[model.features.name] = model.example(2)[1], {0: BATCH_AXIS}
        module: nn.Module = model
        if dynamic_time:
            module = nn.Sequential(OrderedDict(resample=Resample(model.spec), edge=model))
        return (Graph(model_file("fp32"), name, module, inputs, free, (OUTPUT_NAME,)),)

    def clips(self, store: ClipStore, split: str) -> Clips:
        return labelled_clips(store, split)

    def usable(self, store: ClipStore, split: str) -> Clips:
        clips = store.select(split=split)
        return clips[store.index.label[clips] >= 0]

    def check_store(self, store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> ClipStore:
        check_fits(store, spec, labels)
        return store

    def fits(self, store: ClipStore, labels: tuple[str, ...]) -> bool:
        return store.labels == labels

    def told_apart(self, labels: tuple[str, ...], layout: str) -> str:
        """Their number, and a mark of their names whatever the order."""
        mark = hashlib.sha256("\n".join(sorted(labels)).encode()).hexdigest()
        return f"{len(labels)} classes of {layout} ({mark[:4]})"

    def labelled_as(self, store: ClipStore, labels: tuple[str, ...], split: str) -> ClipStore:
        return labelled_as(store, labels, split)

    def figures(
        self, answers: Answers, store: ClipStore, clips: Clips, *, labels: tuple[str, ...], merge_at: str = ""
    ) -> dict[str, Any]:
        return metrics_of(np.asarray(answers), store, clips, merge_at=merge_at)

    def in_words(self, figures: Mapping[str, Any]) -> str:
        top = "  ".join(f"top-{rank} {figures[f'top{rank}']}%" for rank in (1, 3, 5))
        return f"{top}  of {figures['n']} clips"

    def measured(
        self, trained: Trained, store: ClipStore, clips: Clips, *, merge_at: str = "", beam: int | None = None
    ) -> dict[str, Any]:
        from last_edge.tasks.class_learner import predict

        logits = predict(trained.model, store, clips, spec=trained.spec)
        return self.figures(logits, store, clips, labels=trained.labels, merge_at=merge_at)

    def wanted(self, store: ClipStore, clips: Clips) -> Wanted:
        return np.asarray(store.index.label[clips])

    def gates(
        self, candidate: Candidate, wanted: Wanted, limits: QuantizeConfig, *, judge_speed: bool = True
    ) -> list[Gate]:
        """Top-1, equal answers, the worst class, size and speed; see `drop_gate` for few clips."""
        labels = np.asarray(wanted)
        answers, reference = (np.asarray(logits).argmax(1) for logits in (candidate.answers, candidate.reference))
        right, before, same = answers == labels, reference == labels, answers == reference
        by_class = [
            drop_gate("drop of the worst class in points", before[labels == label], right[labels == label],
                      most=limits.max_class_drop) for label in np.unique(labels)
        ]  # fmt: skip
        equal, least = 100.0 * float(same.mean()), min(limits.min_agreement, 100.0 - 100.0 / len(labels))
        holds = agreement_holds(int(same.sum()), len(labels), limits.min_agreement)
        return [
            drop_gate("drop of top-1 in points", before, right, most=limits.max_drop),
            Gate("equal answers in %", equal, f">= {least:.2f}", holds),
            max(by_class, key=lambda gate: (not gate.holds, gate.got)),
            *candidate.costs(limits, judge_speed=judge_speed),
        ]

    def margins(self, classes: Clips) -> dict[str, float]:
        """Of many clips one may change its answer, because another processor rounds a near tie the other way."""
        if len(classes) < ENOUGH_CLIPS:
            return {**dict.fromkeys(self.kept, 0.0), "ece": ROUNDING}
        members = np.unique(classes, return_counts=True)[1]
        of_class = 100.0 / (len(members) * float(members.min()))
        share = one_clip(len(classes)) + ROUNDING
        return {
            **dict.fromkeys(self.kept, share), "mean_class": of_class + ROUNDING, "ece": ECE_TOLERANCE, "n": 0.0
        }  # fmt: skip


def one_clip(clips: int) -> float:
    """Percentage points that one of so many clips weighs, and 0 where every clip must come out the same."""
    return 100.0 / clips if clips >= ENOUGH_CLIPS else 0.0


def drop_gate(name: str, before: Hits, after: Hits, *, most: float) -> Gate:
    """Points lost between two answers to the same clips, right or wrong, (n,): at most `most`, and one clip always.

    Of fewer than `ENOUGH_CLIPS`, or where a clip weighs more than that, the drop is judged by its interval, whose lower
    end must not be above: of the clips that only one answer got right, by the interval of the share that went wrong
    (McNemar 1947; Wilson 1927).
    """
    lost, won, n = int((before & ~after).sum()), int((after & ~before).sum()), len(before)
    drop, one = 100.0 * (lost - won) / n, 100.0 / n
    if drop <= one or (n >= ENOUGH_CLIPS and one <= most):
        return at_most(name, drop, max(most, one))
    lowest = 100.0 * (lost + won) / n * (wilson(lost, lost + won)[0] / 50.0 - 1.0)
    return Gate(name, drop, f"<= {most:.2f}, or from {lowest:.2f} up by its interval", lowest <= most)


class Pretraining(Recognition):
    """See `Task`: a trunk that knows what movements look like, from clips with or without labels."""

    name = "pre-training"

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        return pretrain_plan(store, recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> TrunkLearner:
        from last_edge.tasks.maskclr import TrunkLearner

        return TrunkLearner(plan, recipe, start=start, views=views, device=device)
