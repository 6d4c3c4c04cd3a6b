"""Sentences made of one person's isolated clips, with transitions and English text: `last-edge data compose`.

A small grammar makes English sentences of signs, in another order than the signs come in.
Signs: [time] thing [quality] who [who] verb [negation]. English: the who [and the who] verb the [quality] thing [time].
The verb agrees with the number of people and with the time, as in "the teacher did not bring the red book yesterday .".
"""

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.compose import Points, eased, replayed
from last_edge.clips.store import HEADER, ClipStore
from last_edge.data.prepare import Prepared, store_clips
from last_edge.errors import InputError, UsageError
from last_edge.files import check_free
from last_edge.inputs.spec import seen_span
from last_edge.skeleton.clip import SkeletonClip

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
AUXILIARIES = {
    "past": ("did", "did"), "future": ("will", "will"), "present": ("does", "do"), "": ("does", "do"),
}  # fmt: skip
"""Tense -> the auxiliary of one person and of two."""
TEXT_SHARES = {"train": 80, "val": 10, "test": 10}
"""Percent of all sentences that may be signed in each split, so that no text stands in two."""
MOST_DRAWS = 10_000


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


@dataclass(frozen=True)
class SentenceOptions:
    """What is composed.

    sentences: of the training split; others: of the validation and of the test split each. val_subjects: how many
    training subjects make the validation split where the store has none. fps: frames a second, 0 for the store's
    median. transition_s: shortest and longest way from one sign to the next, in seconds.
    """

    sentences: int = 3000
    others: int = 400
    val_subjects: int = 3
    fps: float = 0.0
    transition_s: tuple[float, float] = (0.15, 0.4)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.transition_s[0] <= self.transition_s[1]:
            expected = "0 < shortest <= longest transition"
            raise UsageError("signs cannot be joined like this", expected=expected, got=self.transition_s)


def compose_sentences(
    path: Path, *, out: Path, options: SentenceOptions, lexicon: Path | None = None, dry_run: bool = False,
    force: bool = False, progress: Callable[[int], None] = lambda clips: None,
) -> Prepared:  # fmt: skip
    """Write a store of sentences signed with the clips of a store; every sentence by one person of its split.

    A person is in one split, and so is every text. The same options give the same sentences. Raises `UsageError` and
    `InputError`, as where a split has nobody or nobody in it has a person, a thing and a verb.
    """
    if not dry_run:
        check_free(out, force=force, marker=HEADER)
    store = ClipStore.open(path)
    words = default_lexicon(store.labels) if lexicon is None else load_lexicon(lexicon, store.labels)
    people = subjects_by_split(store, options)
    made = dataclasses.asdict(options) | {"transition_s": list(options.transition_s), "store_sha256": store.sha256}
    about: dict[str, Any] = {**store.about, "source": path.name, "compose": made, "lexicon": records.to_dict(words)}
    return store_clips(
        _sentences(store, words, people, options), name="compose", out=out, labels=(), about=about, dry_run=dry_run,
        force=force, progress=progress,
    )  # fmt: skip


def subjects_by_split(store: ClipStore, options: SentenceOptions) -> dict[str, tuple[str, ...]]:
    """Who signs in each split; `InputError` when there is nobody to train on."""
    named = {split: sorted(set(store.index.subject[store.select(split=split)].tolist())) for split in TEXT_SHARES}
    train = named["train"]
    twice = set(train) & {name for split in ("val", "test") for name in named[split]}
    if twice:
        raise InputError("a person stands in two splits", where=store.path, got=sorted(twice)[0])
    if not named["val"] and options.val_subjects:
        if options.val_subjects >= len(train):
            expected = f"more than {options.val_subjects} training subjects"
            raise InputError("nobody is left to train on", where=store.path, expected=expected, got=len(train))
        drawn = np.random.default_rng(options.seed).choice(train, options.val_subjects, replace=False).tolist()
        named |= {"val": sorted(drawn), "train": [name for name in train if name not in drawn]}
    if not named["train"]:
        hint = "last-edge data prepare NAME SOURCE --out STORE --leave-out SUBJECT"
        raise InputError("no training clips to compose of", where=store.path, hint=hint)
    return {split: tuple(names) for split, names in named.items() if names}


def _sentences(
    store: ClipStore, words: Lexicon, people: dict[str, tuple[str, ...]], options: SentenceOptions
) -> Iterator[SkeletonClip]:
    for place, (split, names) in enumerate(people.items()):
        random = np.random.default_rng([options.seed, place])
        signers = [Signer(store, name, split, words, options) for name in names]
        for number in range(options.sentences if split == "train" else options.others):
            yield signers[number % len(signers)].sign(f"{split}/{number:05d}", random)


class Signer:
    """One person with the clips that a split has of them."""

    def __init__(self, store: ClipStore, subject: str, split: str, words: Lexicon, options: SentenceOptions) -> None:
        self._store, self._subject, self._split, self._options = store, subject, split, options
        self._fps = options.fps or store.fps
        self._clips = _by_label(store, subject)
        known = {label: word for label, word in words.words.items() if label in self._clips}
        try:
            self._grammar = Grammar(Lexicon(known))
        except UsageError as error:
            raise InputError("a person's clips make no sentence", where=subject, expected=error.expected) from error

    def sign(self, source_id: str, random: np.random.Generator) -> SkeletonClip:
        """A sentence whose text may stand in this split, signed."""
        sentence = self.sentence(random)
        motions = [self._motion(label, random) for label in sentence.signs]
        parts = [motions[0]]
        for motion in motions[1:]:
            parts += [self._way(parts[-1], motion, random), motion]
        return SkeletonClip.from_points(
            np.concatenate(parts, axis=1), layout=self._store.layout, fps=self._fps, units=self._store.units,
            subject=self._subject, split=self._split, source_id=source_id, text=sentence.text,
        )  # fmt: skip

    def sentence(self, random: np.random.Generator) -> Sentence:
        """Draws until a text falls to this split; `InputError` where the lexicon is too small to have one."""
        for _ in range(MOST_DRAWS):
            sentence = self._grammar.draw(random)
            if split_of(sentence.text, self._options.seed) == self._split:
                return sentence
        raise InputError("the lexicon makes too few sentences", where=self._subject, expected=f"one for {self._split}")

    def _motion(self, label: str, random: np.random.Generator) -> Points:
        clip = int(random.choice(self._clips[label]))
        points = self._store.points(clip)
        return replayed(points, seen_span(points), fps=float(self._store.index.fps[clip]), at=self._fps)

    def _way(self, before: Points, after: Points, random: np.random.Generator) -> Points:
        """The frames strictly between one sign's last pose and the next one's first."""
        frames = max(1, round(float(random.uniform(*self._options.transition_s)) * self._fps))
        return eased(before[:, -1], after[:, 0], frames + 2)[:, 1:-1]


def _by_label(store: ClipStore, subject: str) -> dict[str, NDArray[np.int64]]:
    clips = store.select(subjects=[subject])
    numbers = store.index.label[clips]
    return {store.labels[label]: clips[numbers == label] for label in np.unique(numbers) if label >= 0}


def split_of(text: str, seed: int) -> str:
    """The one split that a text may stand in."""
    place = zlib.crc32(f"{seed}:{text}".encode()) % 100
    bounds = np.cumsum(list(TEXT_SHARES.values()))
    return list(TEXT_SHARES)[int(np.searchsorted(bounds, place, side="right"))]
