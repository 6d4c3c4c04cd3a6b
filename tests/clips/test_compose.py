"""Long recordings made of short ones: what is in them, when, and that the seed alone decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.compose import ComposeOptions, Stream, compose, moving_part, tremble, write_recordings
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips
from last_edge.errors import UsageError


def streams(store: Path, *, seed: int = 0, **options: object) -> list[Stream]:
    opened = ClipStore.open(store)
    made = ComposeOptions(**options)  # type: ignore[arg-type]
    return compose(opened, labelled_clips(opened, "test"), count=10, seed=seed, options=made)


def test_each_person_has_one_stream_and_every_clip_is_in_it_unchanged(toy_store: Path) -> None:
    made = streams(toy_store, made=0.0)
    assert [stream.subject for stream in made] == ["5", "6"] and sum(len(stream.spans) for stream in made) == 10
    opened = ClipStore.open(toy_store)
    clips = {opened.points(int(clip)).tobytes() for clip in labelled_clips(opened, "test")}
    for stream in made:
        for span in stream.spans:
            rows = np.flatnonzero((stream.times > span.start_s - 1e-6) & (stream.times < span.end_s + 1e-6))
            assert np.ascontiguousarray(stream.points[:, rows]).tobytes() in clips


def test_idle_stretches_lie_between_and_are_as_long_as_asked(toy_store: Path) -> None:
    for stream in streams(toy_store, idle_s=(2.0, 3.0), made=0.3):
        ends = [0.0, *(span.end_s for span in stream.spans)]
        starts = [*(span.start_s for span in stream.spans), float(stream.times[-1])]
        gaps = np.array(starts) - np.array(ends)
        assert gaps.min() > 1.9 and gaps.max() < 3.1
        np.testing.assert_allclose(np.diff(stream.times), 1 / 30)


def test_the_seed_alone_decides(toy_store: Path) -> None:
    first, again, other = streams(toy_store), streams(toy_store), streams(toy_store, seed=1)
    assert all(np.array_equal(one.points, same.points) for one, same in zip(first, again, strict=True))
    assert first[0].spans == again[0].spans != other[0].spans


def test_unknown_motions_have_no_label(toy_store: Path) -> None:
    left_out = streams(toy_store, made=0.0, unknown=("wave",))
    assert {span.label for stream in left_out for span in stream.spans} == {"", "raise", "lower"}
    made = [span for stream in streams(toy_store, made=0.5) for span in stream.spans if not span.label]
    assert made and all(0.4 < span.end_s - span.start_s < 3.1 for span in made)


def test_noise_is_estimated_beneath_motion() -> None:
    path = np.linspace(0, 1, 400, dtype=np.float32)[None, :, None, None] ** 2
    noisy = path + np.random.default_rng(0).normal(0, 0.01, (1, 400, 5, 3)).astype(np.float32)
    assert tremble(noisy) == pytest.approx(0.01, rel=0.1)


def test_what_cannot_be_composed_is_refused(toy_store: Path) -> None:
    with pytest.raises(UsageError, match="no such class"):
        streams(toy_store, unknown=("dance",))
    with pytest.raises(UsageError, match="cannot be composed"):
        ComposeOptions(idle_s=(0.1, 1.0))


def test_clips_become_recordings_with_spans(toy_store: Path, tmp_path: Path) -> None:
    """One a person and split, with a span for each of their clips, and spans lie apart."""
    store = ClipStore.open(toy_store)
    made = write_recordings(store, tmp_path / "recordings", options=ComposeOptions(made=0.3))
    people = {(split, subject) for split, subject in zip(store.index.split, store.index.subject, strict=True)}
    assert {(split, subject) for split, subject in zip(made.index.split, made.index.subject, strict=True)} == people
    shown = [made.labels[label] for spans in made.index.spans for label in spans[:, 0]]
    assert sorted(shown) == sorted(store.labels[label] for label in store.index.label)
    for clip in made.recordings():
        spans = made.index.spans[clip]
        assert spans[0, 1] > 0 and (spans[1:, 1] > spans[:-1, 2]).all() and spans[-1, 2] < made.index.length[clip]


def test_a_gesture_lasts_while_it_moves() -> None:
    """Ten steps in the middle of a clip that rests before and behind; a rest alone counts whole."""
    points = np.zeros((1, 60, 21, 3), np.float32)
    points[:, 20:31, :, 0] = np.arange(11)[:, None] * 0.1
    points[:, 31:] = points[:, 30:31]
    first, last = moving_part(points, 0.4, fps=30)
    assert 19 <= first <= 21 and 29 <= last <= 31
    assert moving_part(points, 0.0, fps=30) == (0, 59) == moving_part(np.full_like(points, np.nan), 0.4, fps=30)
    assert moving_part(points[:, :1], 0.4, fps=30) == (0, 0)
