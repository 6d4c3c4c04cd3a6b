"""A torch translator at work: its sub-words, the search's decoder, sentences of a store's clips, their loss.

Sub-words are learnt from the training sentences (byte-pair encoding, Sennrich et al. 2016).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded, sentence_points
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.sign2text import Memory, Sign2Text
from last_edge.tasks.config import TranslateConfig
from last_edge.tasks.metrics import coverage, repetition, translation_metrics, verdict
from last_edge.tasks.task import Trained
from last_edge.text import EOS, PAD, SOS, SPECIAL, UNK, SearchOptions, Vocabulary, normalised, search

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


class SubWords:
    """Text to sub-word numbers. Texts are normalised first; spaces are kept in the sub-words.

    `json` is the file that travels with checkpoint and bundle, in the format of the tokenizers project.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        size = tokenizer.get_vocab_size()
        self.vocabulary = Vocabulary(tuple(str(tokenizer.id_to_token(number)) for number in range(size)))

    @classmethod
    def learn(cls, texts: Iterable[str], *, size: int) -> SubWords:
        """At most `size` sub-words from some sentences."""
        library = _library()
        if size <= len(SPECIAL):
            raise UsageError("too few sub-words", where="translate.vocabulary", expected=f"> {len(SPECIAL)}", got=size)
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=SPECIAL[UNK]))
        tokenizer.pre_tokenizer = library.pre_tokenizers.Metaspace()
        tokenizer.decoder = library.decoders.Metaspace()
        trainer = library.trainers.BpeTrainer(vocab_size=size, special_tokens=list(SPECIAL), show_progress=False)
        tokenizer.train_from_iterator(sorted(map(normalised, texts)), trainer=trainer)
        return cls(tokenizer)

    @classmethod
    def read(cls, path: Path) -> SubWords:
        """From a `tokenizer.json`; `InputError` when it is absent or not one."""
        library = _library()
        if not path.is_file():
            raise InputError("no tokenizer here", where=path, hint="a run of a translation model has one")
        try:
            return cls(library.Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except InputError:
            raise
        except Exception as error:  # the library raises a bare Exception
            raise InputError("not a tokenizer", where=path, got=str(error)[:200]) from error

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def json(self) -> str:
        """The tokenizer as JSON text."""
        return json.dumps(json.loads(self._tokenizer.to_str()), ensure_ascii=False, sort_keys=True) + "\n"

    def ids(self, text: str, *, longest: int) -> list[int]:
        """Start, sub-words, end: `longest` numbers after the start at most, the end kept."""
        return [SOS, *self._tokenizer.encode(normalised(text), add_special_tokens=False).ids[: longest - 1], EOS]

    def batch(self, texts: Iterable[str], *, longest: int) -> NDArray[np.int64]:
        """(N, L) numbers of sentences, 0 behind the shorter ones."""
        rows = [self.ids(text, longest=longest) for text in texts]
        batch = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for place, row in enumerate(rows):
            batch[place, : len(row)] = row
        return batch


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise MissingError("translation needs tokenizers", hint="pip install 'last-edge[translate]'") from error
    return tokenizers


BATCH = 32


class TorchDecoder:
    """See `last_edge.text.StepDecoder`; a clip's rows share what the encoder made of it."""

    def __init__(self, model: Sign2Text, memory: Memory, beam: int) -> None:
        repeated = [part.repeat_interleave(beam, dim=0) for part in (memory.keys, memory.values, memory.keep)]
        self._model, self._memory = model, Memory(*repeated)
        self._past = (model.no_past(len(repeated[0])), model.no_past(len(repeated[0])))

    def step(self, tokens: NDArray[np.int64], position: int) -> NDArray[np.float32]:
        device = self._memory.keep.device
        place = torch.tensor([position], device=device)
        logits, *past = self._model.step(torch.from_numpy(tokens).to(device), place, self._past, self._memory)
        self._past = (past[0], past[1])
        return np.asarray(logits.float().cpu().numpy())

    def keep(self, rows: NDArray[np.int64]) -> None:
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


def read_translator(trained: Trained) -> Translator:
    """A checkpoint of a translator with its tokenizer; `InputError` when that is absent or does not fit the model."""
    words = SubWords.read(trained.path / FILE)
    if len(words) != (tokens := len(trained.labels)):
        raise InputError("the tokenizer does not fit the model", where=trained.path, expected=tokens, got=len(words))
    assert isinstance(trained.model, Sign2Text)
    return Translator(trained.model, words)


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
