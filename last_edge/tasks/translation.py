"""Translation: the sentence of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from last_edge.bundle.manifest import (
    INPUT_NAME,
    KEPT,
    MEMORY,
    OUTPUT_NAME,
    PAST,
    POSITION,
    TOKEN,
    decoder_file,
    encoder_file,
)
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, translated_clips
from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import QuantizeConfig, Recipe
from last_edge.tasks.metrics import translation_metrics
from last_edge.tasks.plan import Plan, translation_plan
from last_edge.tasks.task import Answers, Candidate, Clips, Gate, Graph, Trained, Views, Wanted, at_least, at_most
from last_edge.text import SOS, normalised

if TYPE_CHECKING:
    from torch import nn

    from last_edge.models.sign2text import Sign2Text
    from last_edge.tasks.sentence_learner import SentenceLearner
    from last_edge.tasks.start import Start

EXAMPLE_FRAMES, EXAMPLE_PAST = 37, 3
"""Sizes of the examples behind free axes: any but 1."""
ONLY_CLASSES = ("loss", "class_weights", "mixup", "compile", "label_share")
"""Settings of a training that only a classifier can follow."""


class Translation:
    name = "translation"
    kept: tuple[str, ...] = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "repetition", "n")
    gives, others = "translator", "classifiers"
    foreign = frozenset(
        {"--dynamic-time", "--opset", "--weights", "--hands", "--plain", "--target", "--qat", "--keep-float auto",
         "--compare", "quantize.equalise", "--merge-at", "--mirror"}
    )  # fmt: skip
    by_frame = False

    def fitted(self, recipe: Recipe, store: ClipStore) -> Recipe:
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
        return translation_plan(store, recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> SentenceLearner:
        from last_edge.tasks.sentence_learner import SentenceLearner

        return SentenceLearner(plan, recipe, start=start)

    def build(self, name: str, *, spec: InputSpec, outputs: int, options: Mapping[str, Any]) -> nn.Module:
        from last_edge.models.sign2text import create_translator

        return create_translator(name, spec=spec, tokens=outputs, **options)

    def graphs(self, model: Sign2Text, *, name: str, dynamic_time: bool = False) -> tuple[Graph, ...]:
        """An encoder, and one step of the decoder; any number of clips of any length."""
        import torch

        from last_edge.models.sign2text import DecoderGraph, EncoderGraph

        if dynamic_time:
            raise UsageError("--dynamic-time is for classifiers, this is a translator")
        o, spec = model.options, model.spec
        points = torch.zeros(2, EXAMPLE_FRAMES, spec.layout.joints, spec.channels)
        kept = (2, o.decoder_layers, o.heads, EXAMPLE_PAST, o.width // o.heads)
        read = (2, o.decoder_layers, o.heads, EXAMPLE_PAST + 2, o.width // o.heads)
        step = {
            TOKEN: torch.full((2,), SOS),
            POSITION: torch.tensor([EXAMPLE_PAST]),
            **{part: torch.zeros(kept) for part in PAST},
            **{part: torch.zeros(read) for part in MEMORY[:2]},
            MEMORY[2]: torch.ones(2, EXAMPLE_PAST + 2),
        }
        free = {part: {0: "", 3: ""} for part in (*PAST, *MEMORY[:2])}
        free |= {TOKEN: {0: ""}, POSITION: {}, MEMORY[2]: {0: "", 1: ""}}
        encoder = Graph(
            encoder_file("fp32"), f"{name}_encoder", EncoderGraph(model), {INPUT_NAME: points},
            {INPUT_NAME: {0: "", 1: ""}}, MEMORY,
        )  # fmt: skip
        return encoder, Graph(decoder_file(), f"{name}_decoder", DecoderGraph(model), step, free, (OUTPUT_NAME, *KEPT))

    def clips(self, store: ClipStore, split: str) -> Clips:
        return translated_clips(store, split)

    def usable(self, store: ClipStore, split: str) -> Clips:
        clips = store.select(split=split)
        return np.asarray(clips[store.index.text[clips] != ""], np.int64)

    def check_store(self, store: ClipStore, spec: InputSpec, labels: tuple[str, ...]) -> ClipStore:
        """See `check_points`; sub-words are no labels of a store."""
        check_points(store, spec)
        return store

    def fits(self, store: ClipStore, labels: tuple[str, ...]) -> bool:
        return bool((store.index.text != "").any())

    def told_apart(self, labels: tuple[str, ...], layout: str) -> str:
        return f"sentences of {layout}"

    def labelled_as(self, store: ClipStore, labels: tuple[str, ...], split: str) -> ClipStore:
        """The store as it is: sub-words are no labels."""
        return store

    def figures(
        self, answers: Answers, store: ClipStore, clips: Clips, *, labels: tuple[str, ...], merge_at: str = ""
    ) -> dict[str, Any]:
        return translation_metrics(list(answers), list(self.wanted(store, clips)))

    def in_words(self, figures: Mapping[str, Any]) -> str:
        tier = f"  tier: {figures['tier']}" if "tier" in figures else ""
        said = f"BLEU-4 {figures['bleu4']}  chrF {figures['chrf']}  WER {figures['wer']}%"
        return f"{said}  of {figures['n']} sentences{tier}"

    def measured(
        self, trained: Trained, store: ClipStore, clips: Clips, *, merge_at: str = "", beam: int | None = None
    ) -> dict[str, Any]:
        """See `Task`; the losses' gap and a verdict among them where the store has training clips."""
        from last_edge.tasks.translator import read_translator, search_options

        translator, recipe = read_translator(trained), trained.recipe
        options = search_options(recipe.translate, longest=translator.model.options.longest, beam=beam)
        train = self.plan(store, recipe).train if "train" in store.index.split else None
        return translator.figures(store, clips, options, train=train)

    def wanted(self, store: ClipStore, clips: Clips) -> Wanted:
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
