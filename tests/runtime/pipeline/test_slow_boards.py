"""A board that is too slow for every frame looks at one image of several, and drops frames by their age."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.runtime.landmarks.source import LandmarkSource
from last_edge.runtime.pipeline.feed import Feed, open_feed
from last_edge.runtime.pipeline.pipeline import STAGES, Item, Pipeline, Timings
from last_edge.runtime.pipeline.watch import Watch
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.sources import Frame, Source
from last_edge.skeleton import get_layout

HAND = get_layout("mediapipe_hand21")
MakeBundle = Callable[..., Path]


class Images(Source):
    """Images that hold their own number, at 30 a second, in recordings of `each`."""

    name, fps = "images", 30.0

    def __init__(self, frames: int, *, each: int = 10_000) -> None:
        self.frames, self.each = frames, each

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            image = np.full((8, 8, 3), index, np.uint8)
            yield Frame(index, index / 30, image=image, clip=f"clip {index // self.each}")


class Numbers(LandmarkSource):
    """A hand that lies where the image's number says: even motion. seen: the numbers that were looked at."""

    def __init__(self) -> None:
        super().__init__(model="numbers", layout="mediapipe_hand21")
        self.seen: list[int] = []

    def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
        self.seen.append(int(image[0, 0, 0]))
        shape = np.random.default_rng(0).random((21, 3), np.float32) / 10
        return shape + np.float32(self.seen[-1] / 300)

    def close(self) -> None:
        """Nothing is held."""


def watched(bundle: Path, every: int, *, each: int = 10_000) -> tuple[Numbers, list[Item]]:
    detector = Numbers()
    feed = Feed(Images(91, each=each), detector, every=every)
    stream = Recogniser.open(bundle).stream(layout=feed.layout, units=feed.units)
    return detector, list(Watch(feed, stream))


def test_one_image_of_three_is_looked_at_and_the_answer_is_that_of_all(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    (_, all_), (detector, some) = watched(bundle, 1), watched(bundle, 3)
    assert detector.seen == list(range(0, 91, 3)) and [item.looked for item in some[:4]] == [True, False, False, True]
    # Between two looks a frame shows what the last one found.
    assert np.array_equal(some[4].points, some[3].points) and not np.array_equal(all_[4].points, all_[3].points)
    first, second = all_[90].prediction, some[90].prediction
    assert first is not None and second is not None
    assert [guess.label for guess in first.top] == [guess.label for guess in second.top]
    np.testing.assert_allclose(
        [guess.probability for guess in first.top], [guess.probability for guess in second.top], atol=1e-2
    )


def test_a_new_recording_is_looked_at_from_its_first_image(make_bundle: MakeBundle) -> None:
    detector, _ = watched(make_bundle(), 4, each=50)
    assert detector.seen == [*range(0, 50, 4), *range(50, 91, 4)]


def test_points_that_a_source_gives_are_all_taken() -> None:
    feed = Feed(Images(1), Numbers(), every=5)
    points = np.zeros((1, 21, 3), np.float32)
    assert all(feed.looks_at(Frame(index, index / 30, points=points)) for index in range(7))


def test_none_of_the_images_is_no_choice() -> None:
    with pytest.raises(UsageError, match="one image of at least one"):
        open_feed("synthetic", layout=HAND, every=0)


@pytest.mark.parametrize(("max_age_s", "worked_on"), [(None, [0, 1, 2]), (0.0, [0, 2]), (1e6, [0, 1, 2])])
def test_frames_that_waited_too_long_give_way_to_newer_ones(max_age_s: float | None, worked_on: list[int]) -> None:
    begun, all_there = threading.Event(), threading.Event()

    class Camera(Source):
        name, fps, live = "camera", 30.0, True

        def __iter__(self) -> Iterator[Frame]:
            for index in range(3):
                yield Frame(index, index / 30)
                assert begun.wait(10)
            all_there.set()

    def landmarks(item: Item) -> None:
        begun.set()
        assert all_there.wait(10)
        seen.append(item.frame.index)

    seen: list[int] = []
    pipeline = Pipeline(
        Camera(), landmarks=landmarks, recognise=lambda item: None, timings=Timings(STAGES), live=True,
        max_age_s=max_age_s,
    )  # fmt: skip
    for _ in pipeline:
        pass
    assert seen == worked_on
    assert pipeline.dropped["landmarks"] == 3 - len(worked_on)
