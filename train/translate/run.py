"""A translator's run: the run of a training, on sentences instead of labelled clips."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from last_edge.data.dataset import SentenceDataset, Tempo, padded_tensors
from last_edge.errors import UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.sign2text import Sign2Text, create_translator
from last_edge.tasks.config import Recipe
from last_edge.tasks.objective import Objective
from last_edge.tasks.plan import Plan
from last_edge.tasks.tokenizer import FILE, SubWords
from last_edge.tasks.translation import NextSubWord
from last_edge.tasks.translator import Translator, search_options
from last_edge.text import PAD
from last_edge.train import run_folder
from last_edge.train.checkpoint import ModelCard, checkpoint_folder
from last_edge.train.request import Report, Request, Row, ranges, silent
from last_edge.train.run import Run, run_training
from last_edge.train.trainer import Trainer
from last_edge.train.translate.evaluate import evaluate_split, load_translator
from last_edge.train.translate.plan import translation_plan
from last_edge.train.translate.start import check_whole, freeze, model_options, read_start, starts_from_recogniser
from last_edge.train.trunk import Trunk, TrunkReport

POOL = 16


def run_translation(request: Request, *, report: Report = silent) -> dict[str, Any]:
    """Train a translator, or continue the same run, and test once. Returns the content of final.json."""
    check_translation(request.recipe)
    return run_training(request, make_objective=next_sub_word, report=report, kind=TranslationRun)


def next_sub_word(recipe: Recipe, plan: Plan, device: str) -> NextSubWord:
    """The objective of a recipe."""
    t = recipe.training
    return NextSubWord(smoothing=t.label_smoothing, noise=recipe.augment, clamp=t.input_clamp)


def check_translation(recipe: Recipe) -> None:
    """`UsageError` for what a recipe asks of a translator that only a classifier can do."""
    t, usual = recipe.training, type(recipe.training)()
    for name in ("loss", "class_weights", "mixup", "compile", "label_share"):
        if getattr(t, name) != getattr(usual, name):
            raise UsageError(f"training.{name} is for classifiers", expected=getattr(usual, name), got=getattr(t, name))
    if recipe.augment.crop < 1:
        raise UsageError("augment.crop would cut words off a sentence", expected=1.0, got=recipe.augment.crop)
    if recipe.translate.freeze_encoder and not t.init:
        raise UsageError("a frozen encoder needs one that has learnt", hint="--init RUN")


def vocabulary_of(plan: Plan, recipe: Recipe) -> SubWords:
    """Sub-words learnt from the training sentences alone, or those of the translator that this run starts from."""
    if recipe.training.init and not starts_from_recogniser(recipe):
        return SubWords.read(checkpoint_folder(Path(recipe.training.init)) / FILE)
    return SubWords.learn(plan.store.index.text[plan.train].tolist(), size=recipe.translate.vocabulary)


class TranslationTrainer(Trainer):
    """The trainer on sub-words: targets stay numbers, and a hit is a sub-word that is right."""

    def _mix(self, points: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return points, labels

    def _note(self, points: Tensor, labels: Tensor, loss: Tensor, logits: Tensor) -> None:
        self._bad |= torch.isinf(points).any() | ~torch.isfinite(loss)
        wanted = labels[:, 1:]
        right = ((logits.argmax(-1) == wanted) & (wanted != PAD)).sum() / (wanted != PAD).sum()
        self._window_sums.add(loss=loss.double() * len(labels), hits=right * len(labels), seen=len(labels))


class TranslationRun(Run):
    """A translator's run in progress."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        config = self.recipe.translate
        self.sentences = SentenceDataset(
            self.store, self.plan.train, spec=self.plan.spec, ranges=ranges(self.recipe.augment),
            tempo=Tempo(config.speed, config.jitter), seed=self.recipe.seed,
        )  # fmt: skip

    def make_plan(self) -> Plan:
        """See `translation_plan`; the sub-words are found here, too."""
        plan = translation_plan(self.store, self.recipe)
        self.words = vocabulary_of(plan, self.recipe)
        return plan

    def _trunk(self) -> Trunk | None:
        """A whole translator to start from, whose tokenizer comes with it, or a recogniser's trunk."""
        return read_start(self.recipe, self.plan.spec)

    def _model(self) -> tuple[LandmarkModel, TrunkReport | None]:
        torch.manual_seed(self.recipe.seed)
        options = model_options(self.recipe)
        model = create_translator(self.recipe.model.name, spec=self.plan.spec, tokens=len(self.words), **options)
        plain = cast(LandmarkModel, model)
        report = None if self.trunk is None else self.trunk.into(plain)
        if report is not None:
            check_whole(report)
        if self.recipe.translate.freeze_encoder:
            freeze(model, trunk_alone=starts_from_recogniser(self.recipe))
        return plain, report

    def _trainer(self, model: LandmarkModel, objective: Objective, kind: type[Trainer] = TranslationTrainer) -> Trainer:
        return super()._trainer(model, objective, kind)

    def _contents(self) -> run_folder.Contents:
        plain, tokenizer = super()._contents(), self.words.json
        identity = hashlib.sha256(f"{plain.identity}\n{tokenizer}".encode()).hexdigest()
        texts = plain.texts | {FILE: tokenizer}
        return dataclasses.replace(plain, labels=self.words.vocabulary.tokens, texts=texts, identity=identity)

    def card(self) -> ModelCard:
        """model.json; `classes` counts sub-words."""
        return ModelCard(
            name=self.recipe.model.name,
            options=model_options(self.recipe),
            classes=len(self.words),
            input_sha256=self.plan.spec.sha256,
            store_sha256=self.store.sha256,
            units=self.store.units,
        )

    def rest_of_epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the running epoch that are still to come: points (N, T, V, C) and sub-words (N, L + 1)."""
        self.sentences.epoch = self._step() // self.steps.per_epoch
        self.trainer.model.train()
        translator = self._translator(self.trainer.model)
        for points, clips in DataLoader(
            self.sentences,
            batch_sampler=self.batches_left(),
            num_workers=self.recipe.training.workers,
            collate_fn=padded_tensors,
        ):
            yield points, translator.tokens(self.store, clips.numpy())

    def batches_left(self) -> list[list[int]]:
        """This process's batches of the epoch that are still to come; clips of similar length share a batch.

        The epoch's shuffled clips are sorted by length within every `POOL` batches, then the batches are shuffled.
        """
        epoch, done = divmod(self._step(), self.steps.per_epoch)
        batches = self.steps.left(epoch * self.steps.per_epoch)
        lengths = self.store.index.length[self.plan.train]
        regrouped = []
        for start in range(0, len(batches), POOL):
            pool = sorted(sum(batches[start : start + POOL], []), key=lambda item: int(lengths[item]))
            regrouped += [pool[at : at + self.steps.size] for at in range(0, len(pool), self.steps.size)]
        order = np.random.default_rng([self.recipe.seed, epoch, len(batches)]).permutation(len(regrouped))
        return [regrouped[place] for place in order[done:]]

    def learned(self, totals: dict[str, float]) -> Row:
        """The loss and the share of sub-words that were right, told those before them."""
        means = super().learned(totals)
        return {"loss": means["loss"], "train_words": means["train_top1"]}

    def validate(self) -> Row:
        """Validation loss, and BLEU-4 of greedy search where the recipe wants it, of the weights to be shipped."""
        if not len(self.plan.val):
            return {}
        with self.trainer.deployed_weights() as model:
            model.eval()
            translator = self._translator(model)
            row = {"val_loss": translator.loss(self.store, self.plan.val)}
            if self.recipe.translate.validate_bleu:
                row["val_bleu4"] = self._greedy_bleu(translator)
            model.train()
        return row

    def _greedy_bleu(self, translator: Translator) -> float:
        options = search_options(self.recipe.translate, longest=translator.model.options.longest, beam=1)
        return float(evaluate_split(translator, self.store, self.plan.val, options)["bleu4"])

    def measure(self) -> dict[str, Any]:
        """Figures of the chosen checkpoint on validation and, once, on test sentences."""
        chosen, measured = load_translator(self.request.out).translator, {}
        options = search_options(self.recipe.translate, longest=chosen.model.options.longest)
        for name, clips in (("val", self.plan.val), ("test", self.plan.test if self.request.test else ())):
            if len(clips):
                measured[name] = evaluate_split(chosen, self.store, np.asarray(clips), options, train=self.plan.train)
        return measured

    def _translator(self, model: nn.Module) -> Translator:
        return Translator(cast(Sign2Text, model), self.words)
