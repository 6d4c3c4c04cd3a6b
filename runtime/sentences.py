"""Sentences of a source: a recording is one; in front of a camera each motion between two rests is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from last_edge.inputs.spec import seen_span
from last_edge.runtime.pipeline.feed import Feed, open_feed
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.window import MotionSegmenter, Points, SegmentOptions, Times, at_moments
from last_edge.runtime.translator import Translation, Translator
from last_edge.skeleton.clip import check_rate

Signed = tuple[str, Points, Times]
"""A sentence's name, points (T, V, C) and the seconds of its frames (T,)."""


def watch_sentences(
    translator: Translator, source: str, *, fps: float | None = None, beam: int | None = None,
    rest_s: float = SegmentOptions.rest_s, notice: Callable[[str], object] = lambda said: None, **opening: Any,
) -> Iterator[Translation]:  # fmt: skip
    """What is signed in a video, a camera or any other source of `last-edge run`, a sentence after the other.

    fps: frames are taken evenly in time at this rate, which should be that of the training data; None takes them as
    they come. rest_s: seconds of stillness that end a sentence in front of a camera. notice: called with what source
    and detector have to say. opening: as `open_feed` takes it, such as `landmarks_by`. Leaving the loop closes the
    source. Raises `UsageError` for no rate, and as `open_feed` and `Translator.translate` do.
    """
    if fps is not None:
        check_rate(fps)
    with open_feed(source, layout=translator.layout, **opening) as feed:
        adapter = Adapter(feed.layout, feed.units, spec=translator.spec, target_units=translator.units)
        longest = translator.spec.frames / (fps or feed.source.fps or 30.0)
        options = SegmentOptions(rest_s=rest_s, most_s=longest)
        found = _motions(feed, adapter, options) if feed.source.live else _recordings(feed, adapter)
        for name, points, times in found:
            for said in feed.unread():
                notice(said)
            clip, rate = _evenly(points, times, fps)
            yield translator.translate(clip, fps=rate, name=name, beam=beam)
        for said in feed.unread():
            notice(said)


def _motions(feed: Feed, adapter: Adapter, options: SegmentOptions) -> Iterator[Signed]:
    """Each motion between two rests, named by when it began."""
    segmenter = MotionSegmenter(adapter.spec.layout, options)
    for frame in feed.source:
        points = feed.points(frame)
        cut = segmenter.push(points, adapter(points[:, None])[:, 0], frame.timestamp_s)
        if cut is not None:
            yield f"{cut[1][0]:.1f} s", adapter(cut[0])[0], cut[1]


def _recordings(feed: Feed, adapter: Adapter) -> Iterator[Signed]:
    """Each recording of the source, from the first frame that shows anything to the last."""
    clip, times, shown = "", list[float](), list[Points]()

    def whole() -> Signed:
        fitted = adapter(np.stack(shown, axis=1))[:1]
        first, last = seen_span(fitted)
        name = Path(clip or feed.source.name).name
        return name, fitted[0, first : last + 1], np.array(times[first : last + 1])

    for frame in feed.source:
        if shown and frame.clip != clip:
            yield whole()
            times, shown = [], []
        clip = frame.clip
        times.append(frame.timestamp_s)
        shown.append(feed.points(frame))
    if shown:
        yield whole()


def _evenly(points: Points, times: Times, fps: float | None) -> tuple[Points, float]:
    """Points (T, V, C) at a rate, by their times, and that rate; as they are, with their own, where none is given."""
    length = float(times[-1] - times[0])
    if fps is None or not length:
        return points, (len(points) - 1) / length if length else 30.0
    return at_moments(points[None], times, times[0] + np.arange(int(length * fps) + 1) / fps)[0], fps
