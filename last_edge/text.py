"""Sub-words and the search for a sentence; numpy alone, so that a device does with it what training measured."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, UsageError
from last_edge.logits import log_softmax

SPECIAL = ("[PAD]", "[UNK]", "[SOS]", "[EOS]")
PAD, UNK, SOS, EOS = range(4)
NEVER = (PAD, UNK, SOS)
SPACE = "\u2581"
"""What stands for a space in a sub-word."""
Ids = NDArray[np.int64]
Scores = NDArray[np.float64]


def normalised(text: str) -> str:
    """A text as sub-words can spell it: lower case, without accents, spaces single."""
    apart = unicodedata.normalize("NFD", text.lower())
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(unicodedata.normalize("NFC", plain).split())


@dataclass(frozen=True)
class Vocabulary:
    """tokens: sub-words in the order of the logits, those of `SPECIAL` first."""

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL)] != SPECIAL or len(self.tokens) == len(SPECIAL):
            raise InputError("not a translator's vocabulary", expected=" ".join(SPECIAL), got=self.tokens[:5])

    def __len__(self) -> int:
        return len(self.tokens)

    def text(self, ids: Iterable[int]) -> str:
        """The sentence that some sub-words spell, up to the first end; what is special is left out."""
        parts = []
        for number in ids:
            if number == EOS:
                break
            parts += [] if number < len(SPECIAL) else [self.tokens[number]]
        return "".join(parts).replace(SPACE, " ").strip()


@dataclass(frozen=True)
class SearchOptions:
    """beam: hypotheses kept, 1 for greedy search. length_penalty: 0 favours short sentences, 1 and more long ones.

    no_repeat: no run of so many sub-words comes twice in a sentence, 0 for any. repetition_penalty: divides the
    probability of a sub-word that was said before (Keskar et al. 2019, here on log-probabilities), 1 for none.
    longest: most sub-words, the end included.
    """

    beam: int = 1
    length_penalty: float = 1.0
    no_repeat: int = 0
    repetition_penalty: float = 1.0
    longest: int = 50

    def __post_init__(self) -> None:
        if self.beam < 1 or self.longest < 1 or self.no_repeat < 0 or self.length_penalty < 0:
            raise UsageError("no such search", expected="beam, longest >= 1; no_repeat, length_penalty >= 0", got=self)
        if self.repetition_penalty < 1:
            raise UsageError("a repetition penalty is 1 or more", got=self.repetition_penalty)


class StepDecoder(Protocol):
    """Gives, for R rows of sentences being written, what may come next. Rows start as `beam` copies of each clip."""

    def step(self, tokens: Ids, position: int) -> NDArray[np.float32]:
        """The last sub-words (R,) and their position, from 0 -> logits (R, K)."""
        ...

    def keep(self, rows: Ids) -> None:
        """Row r goes on from what row rows[r] has read so far."""
        ...


def search(decoder: StepDecoder, count: int, options: SearchOptions) -> list[list[int]]:
    """Sub-words of the best sentence for each of `count` clips, without start and end."""
    beams = _Beams(count, options)
    for position in range(options.longest):
        logits = decoder.step(beams.last(), position)
        if position == options.longest - 1:
            break
        rows = beams.extend(log_softmax(logits))
        if beams.done():
            break
        decoder.keep(rows)
    return beams.best()


class _Beams:
    """Unfinished hypotheses, (N, B) of them, and finished ones."""

    def __init__(self, count: int, options: SearchOptions) -> None:
        self._options, self._count, size = options, count, options.beam
        self._ids: list[list[int]] = [[SOS] for _ in range(count * size)]
        self._scores = np.full((count, size), -np.inf)
        self._scores[:, 0] = 0.0
        self._finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(count)]

    def last(self) -> Ids:
        """(N * B,) the sub-word each hypothesis ends with."""
        return np.array([ids[-1] for ids in self._ids], np.int64)

    def extend(self, chances: Scores) -> Ids:
        """Take the best continuations by log-probabilities (N * B, K); the rows they come from."""
        size = self._options.beam
        allowed = np.stack([self._allowed(ids, row) for ids, row in zip(self._ids, chances, strict=True)])
        totals = (self._scores.reshape(-1, 1) + allowed).reshape(self._count, -1)
        rows, ids = np.arange(self._count * size), list(self._ids)
        for sentence in range(self._count):
            self._extend_one(sentence, totals[sentence], chances.shape[1], rows, ids)
        self._ids = ids
        return rows

    def _extend_one(self, sentence: int, totals: Scores, words: int, rows: Ids, ids: list[list[int]]) -> None:
        """Fill one sentence's rows, and put what is finished aside."""
        size, filled = self._options.beam, 0
        scores = np.full(size, -np.inf)
        for place in _largest(totals, 2 * size):
            row, word = sentence * size + int(place) // words, int(place) % words
            if not np.isfinite(totals[place]):
                break
            if word == EOS:
                self._finish(sentence, self._ids[row], float(totals[place]))
            elif filled < size:
                rows[sentence * size + filled], ids[sentence * size + filled] = row, [*self._ids[row], word]
                scores[filled] = totals[place]
                filled += 1
            if filled == size or self._full(sentence):
                break
        self._scores[sentence] = scores

    def _allowed(self, ids: list[int], chances: Scores) -> Scores:
        """Log-probabilities (K,) under the rules against nonsense and repetition."""
        ruled = chances.copy()
        said, run = ids[1:], self._options.no_repeat
        if said and self._options.repetition_penalty > 1:
            ruled[list(set(said))] *= self._options.repetition_penalty
        if run and len(said) >= run:
            tail = said[len(said) - run + 1 :]
            starts = [at for at in range(len(said) - run + 1) if said[at : at + run - 1] == tail]
            ruled[[said[at + run - 1] for at in starts]] = -np.inf
        ruled[list(NEVER)] = -np.inf
        return ruled

    def _finish(self, sentence: int, ids: list[int], score: float) -> None:
        length = len(ids)  # the start counts for the end
        self._finished[sentence].append((score / ((5 + length) / 6) ** self._options.length_penalty, ids[1:]))

    def _full(self, sentence: int) -> bool:
        return len(self._finished[sentence]) >= self._options.beam

    def done(self) -> bool:
        """Whether every sentence has as many finished hypotheses as the beam is wide."""
        return all(self._full(sentence) for sentence in range(self._count))

    def best(self) -> list[list[int]]:
        """The best finished hypothesis of each clip, or the best unfinished one where none is."""
        chosen = []
        for sentence, finished in enumerate(self._finished):
            if not finished:
                row = sentence * self._options.beam + int(self._scores[sentence].argmax())
                finished = [(0.0, self._ids[row][1:])]
            chosen.append(max(finished, key=lambda pair: pair[0])[1])
        return chosen


def _largest(values: Scores, count: int) -> Ids:
    """Places of the `count` largest values, largest first; of equal ones the first."""
    count = min(count, len(values))
    some = np.sort(np.argpartition(-values, count - 1)[:count])
    return some[np.argsort(-values[some], kind="stable")]
