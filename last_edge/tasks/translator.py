"""A torch translator at work: the search's decoder, sentences of a store's clips, their loss."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded, sentence_points
from last_edge.inputs.spec import InputSpec
from last_edge.models.sign2text import Memory, Sign2Text
from last_edge.tasks.config import TranslateConfig
from last_edge.tasks.sentence_metrics import coverage, repetition, translation_metrics, verdict
from last_edge.tasks.tokenizer import SubWords
from last_edge.text import PAD, SearchOptions, normalised, search

BATCH = 32


class TorchDecoder:
    """See `last_edge.text.StepDecoder`; a clip's rows share what the encoder made of it."""

    def __init__(self, model: Sign2Text, memory: Memory, beam: int) -> None:
        repeated = [part.repeat_interleave(beam, dim=0) for part in (memory.keys, memory.values, memory.keep)]
        self._model, self._memory = model, Memory(*repeated)
        self._past = (model.no_past(len(repeated[0])), model.no_past(len(repeated[0])))

    def step(self, tokens: NDArray[np.int64], position: int) -> NDArray[np.float32]:
        """See `StepDecoder`."""
        device = self._memory.keep.device
        place = torch.tensor([position], device=device)
        logits, *past = self._model.step(torch.from_numpy(tokens).to(device), place, self._past, self._memory)
        self._past = (past[0], past[1])
        return np.asarray(logits.float().cpu().numpy())

    def keep(self, rows: NDArray[np.int64]) -> None:
        """See `StepDecoder`."""
        chosen = torch.from_numpy(rows).to(self._memory.keep.device)
        self._past = (self._past[0][chosen], self._past[1][chosen])


@dataclass(frozen=True)
class Translator:
    """A model with its tokenizer, on whatever device the model is."""

    model: Sign2Text
    words: SubWords

    @property
    def spec(self) -> InputSpec:
        """What the model takes."""
        return self.model.spec

    @torch.inference_mode()
    def sentences(self, store: ClipStore, clips: NDArray[np.int64], options: SearchOptions) -> list[str]:
        """What some clips say, in the order given."""
        said: dict[int, str] = {}
        for batch in self._batches(store, clips):
            memory = self.model.encode(self._points(store, batch))
            found = search(TorchDecoder(self.model, memory, options.beam), len(batch), options)
            said |= {int(clip): self.words.vocabulary.text(ids) for clip, ids in zip(batch, found, strict=True)}
        return [said[int(clip)] for clip in clips]

    @torch.inference_mode()
    def loss(self, store: ClipStore, clips: NDArray[np.int64]) -> float:
        """Mean cross entropy a sub-word of the true sentences, in nats, not smoothed."""
        total, count = 0.0, 0
        for batch in self._batches(store, clips):
            tokens = self.tokens(store, batch)
            real = int((tokens[:, 1:] != 0).sum())
            logits = self.model(self._points(store, batch), tokens[:, :-1])
            total, count = total + float(sub_word_loss(logits, tokens[:, 1:])) * real, count + real
        return total / max(count, 1)

    def figures(
        self, store: ClipStore, clips: NDArray[np.int64], options: SearchOptions, *,
        train: NDArray[np.int64] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Figures of some sentences; with training clips also those that compare with them, and the verdict.

        gap: the loss on `clips` less that on as many training sentences, both without dropout, noise and smoothing.
        vocabulary_coverage: of the training texts' distinct words, those that were said. repetition_unblocked: of a
        search that may repeat itself, where `options` keep the usual one from it.
        """
        said = self.sentences(store, clips, options)
        wanted = [normalised(str(text)) for text in store.index.text[clips]]
        figures = translation_metrics(said, wanted)
        figures["loss"] = round(self.loss(store, clips), 4)
        if train is None:
            return figures
        figures["gap"] = round(figures["loss"] - self.loss(store, sample(train, len(clips))), 4)
        seen = {normalised(str(text)) for text in store.index.text[train]}
        figures["unseen_texts"] = sum(text not in seen for text in wanted)
        figures["vocabulary_coverage"] = coverage([text.split() for text in said], [text.split() for text in seen])
        free = dataclasses.replace(options, no_repeat=0, repetition_penalty=1.0)
        unblocked = said if free == options else self.sentences(store, clips, free)
        figures["repetition_unblocked"] = repetition([text.split() for text in unblocked])
        return figures | verdict(figures)

    def tokens(self, store: ClipStore, clips: NDArray[np.int64]) -> Tensor:
        """(N, L + 1) sub-words of the clips' texts, from start to end."""
        texts = [str(text) for text in store.index.text[clips]]
        batch = self.words.batch(texts, longest=self.model.options.longest)
        return torch.from_numpy(batch).to(self._device)

    @property
    def _device(self) -> Any:
        return self.model.embed.weight.device

    def _batches(self, store: ClipStore, clips: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Clips of similar length together, so that little is padded."""
        ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
        return [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]

    def _points(self, store: ClipStore, clips: NDArray[np.int64]) -> Tensor:
        points = padded([sentence_points(store, int(clip), self.spec.frames) for clip in clips])
        return torch.from_numpy(points).to(self._device)


def sample(clips: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the clips, the same ones each time."""
    return np.random.default_rng(0).permutation(clips)[:most]


def search_options(config: TranslateConfig, *, longest: int, beam: int | None = None) -> SearchOptions:
    """The search that a recipe asks for; beam: another width."""
    return SearchOptions(
        config.beam if beam is None else beam, config.length_penalty, config.no_repeat, config.repetition_penalty,
        longest,
    )  # fmt: skip


def sub_word_loss(logits: Tensor, wanted: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of logits (N, L, K) for sub-words (N, L), in float32, without padding."""
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )
