"""Sentences composed of isolated clips: who and what stands where, what the grammar says, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.data.compose import (
    DEAL,
    WORDS,
    Grammar,
    Lexicon,
    SentenceOptions,
    Word,
    compose_sentences,
    default_lexicon,
    load_lexicon,
    split_of,
)
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Layout, SkeletonClip
from last_edge.tools.cli import main

LABELS = tuple(f"sign{number:02d}" for number in range(14))
MARKS = np.random.default_rng(0).normal(0, 10, 14).astype(np.float32)
PEOPLE = {"ann": "train", "bob": "train", "cem": "train", "dee": "test"}
OPTIONS = SentenceOptions(sentences=30, others=8, val_subjects=1, fps=15.0)
FULL = Lexicon(
    {
        "anna": Word("who", ("anna",)), "ben": Word("who", ("ben",)), "cup": Word("thing", ("cup",)),
        "bring": Word("verb", ("bring", "brings", "brought")), "red": Word("quality", ("red",)),
        "before": Word("time", ("yesterday", "past")), "no": Word("negation", ("not",)),
    }
)  # fmt: skip


def clip_of(layout: Layout, label: int, person: str, take: int) -> SkeletonClip:
    """A clip whose first joint's x tells its label throughout; frame rate 30, 16 to 20 frames."""
    random = np.random.default_rng([label, take])
    points = random.normal(0, 1, (1, 16 + label % 5, layout.joints, 3)).astype(np.float32)
    points[:, :, 0, 0] = MARKS[label]
    return SkeletonClip.from_points(
        points, layout=layout, fps=30, units="metres", label=LABELS[label], subject=person, split=PEOPLE[person],
        source_id=f"{person}/{label}/{take}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory, toy_layout: Layout) -> Path:
    path = tmp_path_factory.mktemp("signs") / "store"
    with writing_store(path, layout=toy_layout, units="metres", labels=LABELS) as writer:
        for person in PEOPLE:
            for label in range(len(LABELS)):
                writer.add(clip_of(toy_layout, label, person, 0))
                writer.add(clip_of(toy_layout, label, person, 1))
    return path


@pytest.fixture(scope="module")
def composed(signs: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    out = tmp_path_factory.mktemp("composed") / "store"
    compose_sentences(signs, out=out, options=OPTIONS)
    return ClipStore.open(out)


def test_each_person_and_each_text_is_in_one_split(composed: ClipStore) -> None:
    parts = {split: composed.select(split=split) for split in ("train", "val", "test")}
    assert {split: len(clips) for split, clips in parts.items()} == {"train": 30, "val": 8, "test": 8}
    for column in (composed.index.subject, composed.index.text):
        train, val, test = (set(column[clips].tolist()) for clips in parts.values())
        assert train and val and test
        assert not (train & val or train & test or val & test)
    assert set(composed.index.subject[parts["test"]]) == {"dee"}
    assert (composed.index.label == -1).all() and composed.labels == ()


def test_signs_are_played_whole_in_the_order_of_the_grammar(composed: ClipStore, signs: Path) -> None:
    words = default_lexicon(LABELS).words
    order = ("time", "thing", "quality", "who", "verb", "negation")
    for clip in range(6):
        x = composed.points(clip)[0, :, 0, 0]
        played = [int(np.abs(MARKS - value).argmin()) for value in x if np.abs(MARKS - value).min() < 1e-5]
        labels = [label for place, label in enumerate(played) if place == 0 or played[place - 1] != label]
        roles = [words[LABELS[label]].role for label in labels]
        assert roles == sorted(roles, key=order.index)
        named = [words[LABELS[label]] for label in labels]
        said = set(composed.index.text[clip].split())
        assert {word.forms[0] for word in named if word.role in ("who", "thing")} <= said
        shortest = [16 + label % 5 for label in labels]
        assert len(x) >= sum(round((frames - 1) / 2) for frames in shortest)
    assert set(composed.index.fps) == {15.0}


def test_the_same_seed_gives_the_same_store(composed: ClipStore, signs: Path, tmp_path: Path) -> None:
    assert compose_sentences(signs, out=tmp_path / "again", options=OPTIONS).sha256 == composed.sha256
    other = SentenceOptions(sentences=30, others=8, val_subjects=1, fps=15.0, seed=1)
    assert compose_sentences(signs, out=tmp_path / "other", options=other).sha256 != composed.sha256


def test_the_english_agrees_with_people_and_time() -> None:
    grammar, random = Grammar(FULL), np.random.default_rng(0)
    met = {}
    for _ in range(400):
        sentence = grammar.draw(random)
        met[sentence.signs] = sentence.text
    assert met["cup", "anna", "bring"] == "the anna brings the cup ."
    assert met["before", "cup", "red", "ben", "bring", "no"] == "the ben did not bring the red cup yesterday ."
    assert met["before", "cup", "ben", "anna", "bring"] == "the ben and the anna brought the cup yesterday ."
    assert met["cup", "anna", "ben", "bring", "no"] == "the anna and the ben do not bring the cup ."


def test_made_up_meanings_are_dealt_without_a_word_twice() -> None:
    lexicon = default_lexicon(f"s{number}" for number in range(28))
    words = [word.forms for word in lexicon.words.values()]
    assert len(set(words)) == len(words) == len(DEAL) == sum(map(len, WORDS.values()))
    with pytest.raises(UsageError, match="more labels than words"):
        default_lexicon(f"s{number}" for number in range(29))


def test_texts_fall_to_the_splits_by_their_shares() -> None:
    drawn = [split_of(f"sentence {number}", 0) for number in range(4000)]
    assert abs(drawn.count("train") / 4000 - 0.8) < 0.03 and abs(drawn.count("test") / 4000 - 0.1) < 0.02


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"sign00": {"role": "who", "forms": ["a", "b"]}}, "not the forms of a who"),
        ({"sign00": {"role": "what", "forms": ["a"]}}, "role"),
        ({"strange": {"role": "who", "forms": ["a"]}}, "labels that the store lacks"),
        ({"sign00": {"role": "time", "forms": ["once", "pluperfect"]}}, "not the forms of a time"),
    ],
)
def test_a_wrong_lexicon_is_refused_by_name(tmp_path: Path, words: dict[str, object], named: str) -> None:
    path = tmp_path / "lexicon.json"
    path.write_text(json.dumps({"words": words}))
    with pytest.raises(InputError, match=named):
        load_lexicon(path, LABELS)


def test_faults(signs: Path, composed: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lexicon = tmp_path / "lexicon.json"
    lexicon.write_text(json.dumps({"words": {"sign00": {"role": "who", "forms": ["girl"]}}}))
    out = ["--out", str(tmp_path / "s"), "--quiet"]
    assert main(["data", "compose", str(signs), *out, "--lexicon", str(lexicon), "--val-subjects", "1"]) == 3
    assert "make no sentence" in capsys.readouterr().err
    assert main(["data", "compose", str(signs), *out, "--val-subjects", "3"]) == 3
    assert "nobody is left to train on" in capsys.readouterr().err
    assert main(["data", "compose", str(signs), *out, "--shortest", "0.5", "--longest", "0.2"]) == 2
    out += ["--val-subjects", "1"]
    assert main(["data", "compose", str(composed.path), *out]) == 3
    assert main(["data", "compose", str(signs), *out, "--sentences", "5", "--others", "2", "--dry-run"]) == 0
    assert not (tmp_path / "s").exists()


def test_texts_survive_and_stores_without_are_as_they_were(composed: ClipStore, toy_store: Path) -> None:
    composed.verify()
    assert composed.clip(3).text == composed.index.text[3] != ""
    plain = ClipStore.open(toy_store)
    assert set(plain.index.text) == {""} and "text" not in plain.index.columns()
