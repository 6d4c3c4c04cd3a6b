"""A small grammar that makes English sentences of signs, in another order than the signs come in.

Signs: [time] thing [quality] who [who] verb [negation]. English: the who [and the who] verb the [quality] thing [time].
The verb agrees with the number of people and with the time, as in "the teacher did not bring the red book yesterday .".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from last_edge import records
from last_edge.errors import InputError, UsageError

Role = Literal["who", "thing", "verb", "quality", "time", "negation"]
NEEDED: tuple[Role, ...] = ("who", "thing", "verb")
WORDS: dict[Role, tuple[tuple[str, ...], ...]] = {
    "who": (("teacher",), ("friend",), ("mother",), ("doctor",), ("brother",), ("neighbour",)),
    "thing": (("book",), ("apple",), ("letter",), ("cup",), ("coat",), ("picture",), ("box",), ("key",)),
    "verb": (
        ("bring", "brings", "brought"), ("find", "finds", "found"), ("buy", "buys", "bought"),
        ("show", "shows", "showed"), ("want", "wants", "wanted"), ("hide", "hides", "hid"),
    ),
    "quality": (("red",), ("old",), ("small",), ("heavy",)),
    "time": (("yesterday", "past"), ("tomorrow", "future"), ("today", "present")),
    "negation": (("not",),),
}  # fmt: skip
DEAL: tuple[Role, ...] = (
    "who", "verb", "thing", "time", "quality", "who", "thing", "verb", "negation", "who", "thing", "verb", "time",
    "quality", "thing", "who", "verb", "thing", "quality", "who", "thing", "verb", "time", "thing", "who", "verb",
    "thing", "quality",
)  # fmt: skip
"""Roles of a store's labels in their order, where no lexicon gives others."""
FORMS: dict[Role, tuple[str, ...]] = {
    "who": ("word",), "thing": ("word",), "quality": ("word",), "negation": ("word",),
    "verb": ("plain form", "third person", "past"), "time": ("word", "past, present or future"),
}  # fmt: skip
OPTIONAL = 0.5
"""Chance of each part of a sentence that may be absent."""


@dataclass(frozen=True)
class Word:
    """What one sign means. forms: of a verb plain, third person and past; of a time the word and its tense."""

    role: Role
    forms: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = FORMS[self.role]
        if len(self.forms) != len(expected) or (self.role == "time" and self.forms[1] not in AUXILIARIES):
            raise InputError(f"not the forms of a {self.role}", expected=", ".join(expected), got=self.forms)


@dataclass(frozen=True)
class Lexicon:
    """The meaning of each label; JSON: {"words": {LABEL: {"role": "verb", "forms": [...]}}}."""

    words: dict[str, Word]
    schema_version: int = 1


@dataclass(frozen=True)
class Sentence:
    """signs: labels in the order they are signed. text: the English sentence, lower case, words apart."""

    signs: tuple[str, ...]
    text: str


AUXILIARIES = {
    "past": ("did", "did"), "future": ("will", "will"), "present": ("does", "do"), "": ("does", "do"),
}  # fmt: skip
"""Tense -> the auxiliary of one person and of two."""


def default_lexicon(labels: Iterable[str]) -> Lexicon:
    """Made-up meanings of labels, in their order; `UsageError` when there are more than the grammar has words."""
    labels = tuple(labels)
    if len(labels) > len(DEAL):
        raise UsageError("more labels than words", expected=f"<= {len(DEAL)}", got=len(labels), hint="--lexicon FILE")
    left = {role: list(words) for role, words in WORDS.items()}
    dealt = zip(labels, DEAL, strict=False)
    return Lexicon({label: Word(role, left[role].pop(0)) for label, role in dealt})


def load_lexicon(path: Path, labels: Iterable[str]) -> Lexicon:
    """A lexicon from JSON; `InputError` when it speaks of labels that are not there."""
    lexicon = records.load(Lexicon, path)
    strange = sorted(set(lexicon.words) - set(labels))
    if strange:
        raise InputError("the lexicon has labels that the store lacks", where=path, got=", ".join(strange[:5]))
    return lexicon


class Grammar:
    """Draws sentences from a lexicon; `UsageError` when it lacks a person, a thing or a verb."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._by_role: dict[Role, list[str]] = {role: [] for role in WORDS}
        self._words = lexicon.words
        for label, word in lexicon.words.items():
            self._by_role[word.role].append(label)
        if lacking := [role for role in NEEDED if not self._by_role[role]]:
            raise UsageError(
                "the lexicon makes no sentence", expected=f"at least one {lacking[0]}", got=len(self._words)
            )

    def draw(self, random: np.random.Generator) -> Sentence:
        """A sentence; every part that may be absent is there with an even chance."""
        signs = {role: self._some(role, random) for role in WORDS}
        order: tuple[Role, ...] = ("time", "thing", "quality", "who", "verb", "negation")
        return Sentence(tuple(label for role in order for label in signs[role]), self._english(signs))

    def _some(self, role: Role, random: np.random.Generator) -> list[str]:
        """Labels of one role in a sentence."""
        labels, more = self._by_role[role], bool(random.random() < OPTIONAL)
        count = 1 + (more and role == "who") if role in NEEDED else int(more)
        chosen = random.permutation(len(labels))[: min(count, len(labels))]
        return [labels[place] for place in chosen]

    def _english(self, signs: dict[Role, list[str]]) -> str:
        word = {role: [self._words[label].forms for label in labels] for role, labels in signs.items()}
        people = " and ".join(f"the {forms[0]}" for forms in word["who"])
        things = " ".join(["the", *(forms[0] for forms in (*word["quality"], *word["thing"]))])
        when, tense = word["time"][0] if word["time"] else ("", "")
        verb = _verb(word["verb"][0], tense, many=len(word["who"]) > 1, negated=[f[0] for f in word["negation"]])
        return " ".join(part for part in (people, verb, things, when, ".") if part)


def _verb(forms: tuple[str, ...], tense: str, *, many: bool, negated: list[str]) -> str:
    plain, third, past = forms
    if negated or tense == "future":
        return " ".join([AUXILIARIES[tense][many], *negated, plain])
    return past if tense == "past" else (plain if many else third)
