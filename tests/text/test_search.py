"""The search for a sentence: against all sentences, its rules against repetition, and sub-words back to text."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from last_edge.errors import InputError, UsageError
from last_edge.logits import log_softmax
from last_edge.text import EOS, SOS, SPECIAL, SearchOptions, Vocabulary, search

WORDS = 7


class Table:
    """A language model whose next word depends on the last word, the position and the clip."""

    def __init__(self, clips: int, beam: int, seed: int = 0, spread: float = 2.0) -> None:
        self.logits = np.random.default_rng(seed).normal(0, spread, (clips, 6, WORDS, WORDS)).astype(np.float32)
        self.clip = np.repeat(np.arange(clips), beam)

    def step(self, tokens: NDArray[np.int64], position: int) -> NDArray[np.float32]:
        return np.asarray(self.logits[self.clip, min(position, 5), tokens])

    def keep(self, rows: NDArray[np.int64]) -> None:
        assert (self.clip[rows] == self.clip).all()

    def value(self, clip: int, ids: tuple[int, ...], penalty: float) -> float:
        total, last = 0.0, SOS
        for position, word in enumerate((*ids, EOS)):
            total += float(log_softmax(self.logits[clip, min(position, 5), last][None])[0, word])
            last = word
        return total / ((5 + len(ids) + 1) / 6) ** penalty


def best_of_all(table: Table, clip: int, penalty: float) -> list[int]:
    words = range(len(SPECIAL), WORDS)
    every = [ids for length in range(4) for ids in itertools.product(words, repeat=length)]
    return list(max(every, key=lambda ids: table.value(clip, ids, penalty)))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_sentences(penalty: float) -> None:
    beam = 60
    options = SearchOptions(beam=beam, length_penalty=penalty, longest=4)
    table = Table(3, beam)
    table.logits[:, 3, :, EOS] += 50  # three words at most, so that all sentences can be listed
    assert search(table, 3, options) == [best_of_all(table, clip, penalty) for clip in range(3)]


def test_beam_one_takes_the_likeliest_word_each_time() -> None:
    table = Table(4, 1, seed=3)
    for clip, ids in enumerate(search(table, 4, SearchOptions(beam=1, longest=10))):
        last = SOS
        for position, word in enumerate([*ids, EOS][:9]):
            chances = table.logits[clip, min(position, 5), last].copy()
            chances[[0, 1, 2]] = -np.inf
            assert chances.argmax() == word
            last = word


def test_no_run_of_words_comes_twice() -> None:
    table = Table(2, 2, spread=0.1)
    table.logits[..., 5] += 9
    table.logits[..., EOS] -= 9
    free = search(table, 2, SearchOptions(beam=2, longest=9))
    assert free[0] == [5] * 8
    for ids in search(table, 2, SearchOptions(beam=2, longest=9, no_repeat=2)):
        pairs = list(itertools.pairwise(ids))
        assert len(pairs) == len(set(pairs)) > 3


def test_a_repetition_penalty_brings_other_words() -> None:
    table = Table(1, 1, spread=0.1)
    table.logits[..., 5] += 1.0
    table.logits[..., EOS] -= 9
    plain = search(table, 1, SearchOptions(longest=6))[0]
    punished = search(table, 1, SearchOptions(longest=6, repetition_penalty=3.0))[0]
    assert len(set(plain)) == 1 < len(set(punished))


def test_what_never_ends_is_cut_and_a_wrong_search_refused() -> None:
    table = Table(1, 3)
    table.logits[..., EOS] = -1e9
    assert len(search(table, 1, SearchOptions(beam=3, longest=5))[0]) == 4
    with pytest.raises(UsageError):
        SearchOptions(beam=0)
    with pytest.raises(UsageError):
        SearchOptions(repetition_penalty=0.5)


def test_sub_words_become_a_sentence() -> None:
    words = Vocabulary((*SPECIAL, "\u2581the", "\u2581red", "der", "."))
    assert words.text([4, 5, 6, 7, EOS, 4]) == "the redder."
    assert words.text([SOS, 4, 0, EOS]) == "the"
    with pytest.raises(InputError, match="vocabulary"):
        Vocabulary(("a", "b", "c", "d", "e"))
