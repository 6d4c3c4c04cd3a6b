"""Translation in a run: whole clips, each sub-word learnt from the clip and the sub-words before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from last_edge.data.dataset import SentenceDataset, Tempo, padded_tensors
from last_edge.errors import InputError, UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.registry import TRANSLATORS
from last_edge.models.sign2text import Sign2Text, create_translator
from last_edge.tasks.class_learner import ranges
from last_edge.tasks.config import AugmentConfig, Recipe
from last_edge.tasks.objective import Objective
from last_edge.tasks.plan import Plan
from last_edge.tasks.start import Start, StartReport
from last_edge.tasks.task import Batch, Row
from last_edge.tasks.translator import FILE, SubWords, Translator, sample, search_options, sub_word_loss
from last_edge.text import PAD

POOL = 16
TRUNK = "trunk."
TRUNK_OPTIONS = ("trunk", "trunk_options", "trunk_frames")


class SentenceLearner:
    """See `Learner`. A start is a whole translator, whose sub-words come with it, or a recogniser's trunk."""

    hits_as = "train_words"
    trunk_only = False

    def __init__(self, plan: Plan, recipe: Recipe, *, start: Start | None = None) -> None:
        self.plan, self.recipe = plan, recipe
        self.whole = start is not None and start.model in TRANSLATORS
        if self.whole:
            assert start is not None
            self.words = SubWords.read(start.folder / FILE)
        else:
            texts = plan.store.index.text[plan.train].tolist()
            self.words = SubWords.learn(texts, size=recipe.translate.vocabulary)
        self.labels = self.words.vocabulary.tokens
        self.texts = {FILE: self.words.json}
        self.longest = 0
        self.start = None if start is None else self._taken(start)
        self.options = self._options(start)

    @property
    def facts(self) -> dict[str, Any]:
        """How many sub-words were learnt."""
        return {"sub_words": len(self.words)}

    def _taken(self, start: Start) -> Start:
        """What a model takes of the start; `InputError` where it is of another model, layout or normalisation."""
        if not self.whole:
            trunk = start.trunk(model=start.model, spec=self.plan.spec)
            return dataclasses.replace(trunk, tensors={f"{TRUNK}{name}": t for name, t in trunk.tensors.items()})
        name = self.recipe.model.name
        if (start.model, start.spec.layout) != (name, self.plan.spec.layout):
            raise InputError("the start is of another model or layout", where=start.folder, expected=name)
        if len(self.words) != start.outputs:
            raise InputError(
                "the tokenizer does not fit the model", where=start.folder, expected=start.outputs, got=len(self.words)
            )
        return start

    def _options(self, start: Start | None) -> dict[str, Any]:
        """Options of the recipe's model, with those of the trunk that it starts from.

        `UsageError` for a trunk that is asked for without a run to take it from, or of another model.
        """
        asked = dict(self.recipe.model.options)
        if start is None:
            if asked.get("trunk"):
                raise UsageError("a trunk comes from a run that has learnt", hint="--init RUN")
            return asked
        if self.whole:
            found = {key: start.options[key] for key in TRUNK_OPTIONS if key in start.options}
        else:
            found = {"trunk": start.model, "trunk_options": start.options}
        if asked.get("trunk", found.get("trunk")) != found.get("trunk"):
            raise UsageError(
                "the start has another trunk", where=start.path, expected=asked["trunk"],
                got=found.get("trunk") or "none",
            )  # fmt: skip
        return asked | found

    def model(self) -> Sign2Text:
        model = create_translator(self.recipe.model.name, spec=self.plan.spec, tokens=len(self.words), **self.options)
        self.longest = model.options.longest
        return model

    def begin(self, model: nn.Module) -> StartReport | None:
        """See `Learner`; what `translate.freeze_encoder` keeps is frozen."""
        if self.start is None:
            return None
        report = self.start.into(model)
        lacking = [name for name in report.fresh if name.startswith(TRUNK)]
        if lacking:
            raise InputError("the trunk does not fit the model", where=report.run, expected=lacking[0])
        if self.recipe.translate.freeze_encoder:
            assert isinstance(model, Sign2Text)
            kept = [model.trunk, model.stem, model.encoder, model.encoder_norm] if self.whole else [model.trunk]
            for part in kept:
                if part is not None:
                    part.requires_grad_(False)
        return report

    def objective(self) -> NextSubWord:
        t = self.recipe.training
        return NextSubWord(smoothing=t.label_smoothing, noise=self.recipe.augment, clamp=t.input_clamp)

    @cached_property
    def clips(self) -> SentenceDataset:
        """The training clips, augmented as the recipe says."""
        tempo = Tempo(self.recipe.translate.speed, self.recipe.translate.jitter)
        return SentenceDataset(
            self.plan.store, self.plan.train, spec=self.plan.spec, ranges=ranges(self.recipe.augment), tempo=tempo,
            seed=self.recipe.seed,
        )  # fmt: skip

    def batches(self, epoch: int, batches: list[list[int]], done: int) -> Iterator[Batch]:
        """See `Learner`; the labels are sub-words (N, L + 1) from start to end."""
        self.clips.epoch = epoch
        left = self.by_length(epoch, batches)[done:]
        workers, longest = self.recipe.training.workers, self.longest
        for points, clips in DataLoader(self.clips, batch_sampler=left, num_workers=workers, collate_fn=padded_tensors):
            texts = self.plan.store.index.text[clips.numpy()].tolist()
            yield Batch(points, torch.from_numpy(self.words.batch(texts, longest=longest)), clips, epoch)

    def by_length(self, epoch: int, batches: list[list[int]]) -> list[list[int]]:
        """An epoch's batches of items anew, so that clips of similar length share a batch.

        The shuffled clips are sorted by length within every `POOL` batches, then the batches are shuffled.
        """
        lengths = self.plan.store.index.length[self.plan.train]
        size, regrouped = self.recipe.training.batch_size, list[list[int]]()
        for start in range(0, len(batches), POOL):
            pool = sorted(sum(batches[start : start + POOL], []), key=lambda item: int(lengths[item]))
            regrouped += [pool[at : at + size] for at in range(0, len(pool), size)]
        order = np.random.default_rng([self.recipe.seed, epoch, len(batches)]).permutation(len(regrouped))
        return [regrouped[place] for place in order]

    def targets(self, points: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Both as they are."""
        return points, labels

    def hits(self, logits: Tensor, labels: Tensor) -> Tensor:
        wanted = labels[:, 1:]
        right = ((logits.argmax(-1) == wanted) & (wanted != PAD)).sum() / (wanted != PAD).sum()
        return right * len(labels)

    def validate(self, model: nn.Module, objective: Objective) -> Row:
        """`val_loss` and `train_loss` on the same terms, and `val_bleu4` of greedy search where the recipe wants it.

        Both losses are those of the shipped weights without dropout, noise and smoothing; that of training is of as
        many sentences as validation has.
        """
        translator, store = self._translator(model), self.plan.store
        row = {
            "val_loss": translator.loss(store, self.plan.val),
            "train_loss": translator.loss(store, sample(self.plan.train, len(self.plan.val))),
        }
        if self.recipe.translate.validate_bleu:
            options = search_options(self.recipe.translate, longest=self.longest, beam=1)
            row["val_bleu4"] = float(translator.figures(store, self.plan.val, options)["bleu4"])
        return row

    def measure(self, chosen: Callable[[nn.Module], nn.Module], row: Row, *, test: bool) -> dict[str, Any]:
        """Figures on validation sentences and, where the test split may be looked at, once on test sentences."""
        translator, plan = self._translator(chosen(self.model())), self.plan
        options = search_options(self.recipe.translate, longest=self.longest)
        parts = {"val": plan.val, **({"test": plan.test} if test else {})}
        return {
            name: translator.figures(plan.store, clips, options, train=plan.train)
            for name, clips in parts.items()
            if len(clips)
        }

    def _translator(self, model: nn.Module) -> Translator:
        assert isinstance(model, Sign2Text)
        return Translator(model, self.words)


class NextSubWord:
    """Label-smoothed cross entropy of every sub-word; padding counts for nothing.

    noise: standard deviations added to each stream where it is not 0. clamp: largest absolute value, 0 for any.
    """

    def __init__(self, *, smoothing: float, noise: AugmentConfig, clamp: float) -> None:
        self.smoothing, self.noise, self.clamp = smoothing, noise, clamp

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """points (N, T, V, C), targets (N, L + 1) sub-words from start to end -> loss and logits (N, L, K)."""
        assert isinstance(model, Sign2Text)
        logits = model.decode(targets[:, :-1], model.encode_features(*self._features(model, points)))
        return sub_word_loss(logits, targets[:, 1:], smoothing=self.smoothing), logits

    def _features(self, model: Sign2Text, points: Tensor) -> tuple[Tensor, Tensor]:
        """`Sign2Text.features` of streams with noise."""
        if model.trunk is not None:
            streams, keep = model.trunk.streams(points)
            noisy = self._noisy(streams, self._sizes(model)[:, None, None])
            return model.trunk.tokens(noisy, clips=len(points)), keep
        frames, shown = model.features(points)
        rows = self._sizes(model).repeat_interleave(model.spec.layout.joints)
        return self._noisy(frames, nn.functional.pad(rows, (0, frames.shape[-1] - len(rows)))), shown

    def _noisy(self, streams: Tensor, spread: Tensor) -> Tensor:
        """Noise of a spread where there is a value, and the limit."""
        if any((self.noise.noise_joint, self.noise.noise_velocity, self.noise.noise_bone)):
            streams = streams + torch.randn_like(streams) * spread * (streams != 0)
        return streams.clamp(-self.clamp, self.clamp) if self.clamp else streams

    def _sizes(self, model: Sign2Text) -> Tensor:
        """(S*C,) standard deviation of each axis of each stream."""
        sizes = {"joint": self.noise.noise_joint, "velocity": self.noise.noise_velocity, "bone": self.noise.noise_bone}
        rows = [sizes[name] for name in model.spec.streams for _ in range(model.spec.channels)]
        return torch.tensor(rows, device=model.embed.weight.device)
