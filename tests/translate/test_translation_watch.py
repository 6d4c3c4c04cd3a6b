"""A translator in front of recordings and of a camera: which frames make a sentence, and at which rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.clips.windows import sentence_points
from last_edge.errors import UsageError
from last_edge.runtime import sentences as module
from last_edge.runtime.pipeline.feed import Feed
from last_edge.runtime.sentences import watch_sentences
from last_edge.runtime.sources import Frame, Source
from last_edge.runtime.translator import Translator
from last_edge.tools.cli import main

FPS = 10


class Camera(Source):
    """Gives a sentence, rest, and another sentence, in points, as something that is live does."""

    def __init__(self, store: ClipStore, clips: list[int]) -> None:
        self.name, self.layout, self.units, self.live, self.fps = "cam:0", store.layout, store.units, True, FPS
        parts = []
        for clip in clips:
            points = store.clip(clip).coords
            parts += [np.repeat(points[:, :1], 30, axis=1), points, np.repeat(points[:, -1:], 30, axis=1)]
        self.points = np.concatenate(parts, axis=1)

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self.points.shape[1]):
            yield Frame(number, number / FPS, points=self.points[:, number])


@pytest.fixture
def store(sentences: Path) -> ClipStore:
    return ClipStore.open(sentences)


def test_a_recording_is_one_sentence(bundle: Path, sentences: Path, store: ClipStore) -> None:
    translator = Translator.open(bundle)
    (line,) = watch_sentences(translator, f"store:{sentences}#3")
    assert line.text == translator.translate(sentence_points(store, 3, 40), fps=FPS).text
    assert line.seconds == pytest.approx(store.index.length[3] / FPS, abs=0.11)


def test_every_recording_of_a_source_is_a_sentence_of_its_own(bundle: Path, sentences: Path, store: ClipStore) -> None:
    lines = list(zip(range(3), watch_sentences(Translator.open(bundle), f"store:{sentences}"), strict=False))
    assert len({line.clip for _, line in lines}) == 3


def test_at_another_rate_the_same_seconds_are_read(bundle: Path, sentences: Path) -> None:
    translator = Translator.open(bundle)
    (whole,), (half,) = (watch_sentences(translator, f"store:{sentences}#3", fps=fps) for fps in (FPS, FPS / 2))
    assert half.seconds == pytest.approx(whole.seconds, abs=0.2)
    with pytest.raises(UsageError, match="frame rate"):
        next(watch_sentences(translator, f"store:{sentences}#3", fps=0))


def test_in_front_of_a_camera_rest_ends_a_sentence(
    bundle: Path, store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(store, [3, 7])
    monkeypatch.setattr(module, "open_feed", lambda text, *, layout: Feed(camera, None))
    translator = Translator.open(bundle)
    lines = list(watch_sentences(translator, "cam:0"))
    assert len(lines) == 2 and all(line.clip.endswith(" s") for line in lines)
    assert [0 < line.seconds <= 4.0 for line in lines] == [True, True]


def test_the_command_takes_videos_and_refuses_what_is_for_stores(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["translate", str(bundle), "--source", str(tmp_path / "absent.mp4")]) == 3
    assert "absent.mp4" in capsys.readouterr().err
    assert main(["translate", str(bundle), "--source", "clip.mp4", "--split", "test"]) == 2
    assert "--split is for a store" in capsys.readouterr().err
