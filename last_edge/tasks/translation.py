"""Translation: the sentence of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, translated_clips
from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import QuantizeConfig, Recipe
from last_edge.tasks.gates import Candidate, Gate, at_least, at_most
from last_edge.tasks.plan import Plan, translation_plan
from last_edge.tasks.sentence_metrics import translation_metrics
from last_edge.tasks.task import Answers, Clips, Views, Wanted
from last_edge.text import normalised

if TYPE_CHECKING:
    from torch import nn

    from last_edge.tasks.sentence_learner import SentenceLearner
    from last_edge.tasks.start import Start

ONLY_CLASSES = ("loss", "class_weights", "mixup", "compile", "label_share")
"""Settings of a training that only a classifier can follow."""


class Translation:
    """See `Task`."""

    name = "translation"
    kept: tuple[str, ...] = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "repetition", "n")

    def fitted(self, recipe: Recipe, store: ClipStore) -> Recipe:
        """See `Task`."""
        t, usual = recipe.training, type(recipe.training)()
        for name in ONLY_CLASSES:
            if getattr(t, name) != (expected := getattr(usual, name)):
                raise UsageError(f"training.{name} is for classifiers", expected=expected, got=getattr(t, name))
        if recipe.augment.crop < 1:
            raise UsageError("augment.crop would cut words off a sentence", expected=1.0, got=recipe.augment.crop)
        if recipe.translate.freeze_encoder and not t.init:
            raise UsageError("a frozen encoder needs one that has learnt", hint="--init RUN")
        return recipe

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        """See `translation_plan`."""
        return translation_plan(store, recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> SentenceLearner:
        """See `Task`."""
        from last_edge.tasks.sentence_learner import SentenceLearner

        return SentenceLearner(plan, recipe, start=start)

    def build(self, name: str, *, spec: InputSpec, outputs: int, options: Mapping[str, Any]) -> nn.Module:
        """See `Task`."""
        from last_edge.models.sign2text import create_translator

        return create_translator(name, spec=spec, tokens=outputs, **options)

    def clips(self, store: ClipStore, split: str) -> Clips:
        """See `translated_clips`."""
        return translated_clips(store, split)

    def usable(self, store: ClipStore, split: str) -> Clips:
        """See `Task`."""
        clips = store.select(split=split)
        return np.asarray(clips[store.index.text[clips] != ""], np.int64)

    def check_store(self, store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> None:
        """See `check_points`; sub-words are no labels of a store."""
        check_points(store, spec)

    def labelled_as(self, store: ClipStore, labels: tuple[str, ...], split: str) -> ClipStore:
        """The store as it is: sub-words are no labels."""
        return store

    def figures(
        self, answers: Answers, store: ClipStore, clips: Clips, *, labels: tuple[str, ...], merge_at: str = ""
    ) -> dict[str, Any]:
        """See `translation_metrics`."""
        if merge_at:
            raise UsageError("--merge-at is for classifiers, this is a translator")
        return translation_metrics(list(answers), list(self.wanted(store, clips)))

    def wanted(self, store: ClipStore, clips: Clips) -> Wanted:
        """See `Task`."""
        return [normalised(str(text)) for text in store.index.text[clips]]

    def gates(
        self, candidate: Candidate, wanted: Wanted, limits: QuantizeConfig, *, judge_speed: bool = True
    ) -> list[Gate]:
        """BLEU-4, equal sentences, size and speed."""
        before, after = (
            float(translation_metrics(list(said), list(wanted))["bleu4"])
            for said in (candidate.reference, candidate.answers)
        )
        one = 100.0 / len(wanted)
        same = [a == b for a, b in zip(candidate.reference, candidate.answers, strict=True)]
        equal = 100.0 * float(np.mean(same))
        return [
            at_most("drop of BLEU-4 in points", before - after, max(limits.max_bleu_drop, one)),
            at_least("equal sentences in %", equal, min(limits.min_equal_sentences, 100.0 - one)),
            *candidate.costs(limits, judge_speed=judge_speed),
        ]

    def margins(self, classes: Clips) -> dict[str, float]:
        """Sentences come out the same, and with them all that is counted of them."""
        return dict.fromkeys(self.kept, 0.0)
