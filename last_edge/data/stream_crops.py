"""Training crops of long recordings: stretches as recorded, and gestures put between other people's movements.

Every crop brings what is to be learnt at each of its frames, how much the frame counts, and for how long the gesture
that it shows has lasted. Whole recordings are read the same way, without any change, to validate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.data.augment import Augment, apply, draw
from last_edge.names import mirrored_order
from last_edge.skeleton.layout import limb_length

Points = NDArray[np.float32]
Random = np.random.Generator
CLASS, WEIGHT, ELAPSED = 0, 1, 2
LEAST_EARLY = 0.1
LIGHTEST, HEAVIEST = 0.4, 2.5
CONTEXT_S, BACKGROUND_S, MOVE_S = (0.15, 1.2), (0.5, 3.0), (0.16, 0.48)
DRIFT = 0.5
ELEVATION_DEG = (-25.0, 25.0)
"""Before a camera hands stand upright (`data join --upright`), more or less."""
BLURRED, BLUR, FOUND_S = 0.7, (4.0, 30.0), (0.0, 0.16)
"""Share of pictures with motion blur, the limb lengths a second from which a hand is then not found, and the seconds
until it is found again."""
DEPTH, DEPTH_SEEN = 2, (0.4, 1.1)
"""The axis, and the share of a body's depth that a detector of landmarks sees in a picture."""
CUT_SHARE = 0.3


@dataclass(frozen=True)
class CropOptions:
    """How crops are made and weighed; `last_edge.tasks.config.StreamConfig` says what each means."""

    splice: float = 0.5
    speed: float = 0.4
    reach: float = 0.35
    offset: float = 0.03
    lost: float = 0.1
    coarse: float = 0.2
    slowest: float = 15.0
    background: float = 0.6
    evenness: float = 0.5
    early: float = 0.5
    tolerance_s: float = 0.08
    webcam: float = 0.0
    pace: float = 0.1


@dataclass(frozen=True)
class Crop:
    """points (T, V, C), NaN where missing; truth (T, 3): class, weight, and seconds since the gesture began."""

    points: Points
    truth: Points


@dataclass(frozen=True)
class _Gesture:
    """A span of a recording, and the frames around it that show no other."""

    clip: int
    first: int
    last: int
    free: tuple[int, int]


def frame_truth(store: ClipStore, clip: int, options: CropOptions) -> Points:
    """(T, 3) of a recording at its own rate: class, weight and seconds since the gesture began; 0 in background.

    Background is the class behind the store's labels. Frames within `tolerance_s` of a border on its outer side weigh
    nothing; a gesture's own weight rises over its first part, and all of them count alike however long they last, as
    far as `evenness` says.
    """
    length, fps = int(store.index.length[clip]), float(store.index.fps[clip])
    truth = np.zeros((length, 3), np.float32)
    truth[:, CLASS], truth[:, WEIGHT] = len(store.labels), options.background
    spans, tolerance = store.index.spans[clip], round(options.tolerance_s * fps)
    for _, first, last in spans:
        truth[max(first - tolerance, 0) : last + 1 + tolerance, WEIGHT] = 0.0
    for label, first, last in spans:
        frames = last - first + 1
        share = np.arange(frames) / frames
        even = np.clip((fps / frames) ** options.evenness, LIGHTEST, HEAVIEST)
        rising = np.minimum(LEAST_EARLY + (1 - LEAST_EARLY) * share / max(options.early, 1e-6), 1.0)
        truth[first : last + 1] = np.stack([np.full(frames, label), even * rising, (np.arange(frames) + 1) / fps], 1)
    return truth


class StreamCrops:
    """Crops of `frames` frames at `rate` of some recordings of a store, drawn by random numbers that the caller brings.

    rate: frames a second that the model counts in. ranges: changes to a whole crop, as of one person before one camera.
    """

    def __init__(
        self, store: ClipStore, clips: NDArray[np.int64], *, frames: int, rate: float, ranges: Augment,
        options: CropOptions, noise: float,
    ) -> None:  # fmt: skip
        self._store, self._clips, self._frames, self._rate = store, clips.tolist(), frames, rate
        self._ranges, self._options, self._noise = ranges, options, noise
        self._truth = {clip: frame_truth(store, clip, options) for clip in self._clips}
        self._in_a_mirror = np.array([*mirrored_order(store.labels), len(store.labels)])
        self._sizes = {clip: self._size(clip) for clip in self._clips}
        self._gestures: dict[int, list[_Gesture]] = {}
        self._background: list[tuple[int, int, int]] = []
        for clip in self._clips:
            self._note(clip)

    def crop(self, item: int, random: Random) -> Crop:
        """A crop for the recording at place `item`; where it is spliced, parts of any recordings."""
        options = self._options
        speed = float(np.exp(random.uniform(-1, 1) * np.log1p(options.speed)))
        timeline = _Timeline(self._store, self._truth, frames=self._frames, rate=self._rate)
        if self._gestures and self._background and random.random() < options.splice:
            size = self._splice(timeline, speed, random)
        else:
            size = self._record(timeline, self._clips[item], speed, random)
        if random.random() < options.coarse:
            timeline.coarsen(float(random.uniform(options.slowest, self._rate)))
        points, mirrored = self._changed(timeline.points(), size, random)
        if mirrored:
            timeline.truth[:, CLASS] = self._in_a_mirror[timeline.truth[:, CLASS].astype(np.int64)]
        return Crop(points, timeline.truth)

    def _record(self, timeline: _Timeline, clip: int, speed: float, random: Random) -> float:
        """A stretch as it was recorded; it may begin a little before the recording and end a little behind it."""
        length = int(self._store.index.length[clip])
        need = self._frames * timeline.step(clip, speed)
        start = max(0.0, random.uniform(-0.2 * need, max(1.0, length - 0.8 * need)))
        timeline.put(clip, start, length, speed)
        timeline.forget_cut_gesture()
        return self._sizes[clip]

    def _splice(self, timeline: _Timeline, speed: float, random: Random) -> float:
        """Background of one recording, a gesture of another, background of a third, …, moved over in between."""
        size, turn = 0.0, bool(random.integers(2))
        weights = np.array([last - first for _, first, last in self._background], np.float64)
        while not timeline.full:
            own, turn = speed * float(np.exp(random.uniform(-1, 1) * np.log1p(self._options.pace))), not turn
            if turn:
                clip, first, last = self._background[random.choice(len(weights), p=weights / weights.sum())]
                fps = float(self._store.index.fps[clip])
                frames = min(random.uniform(*BACKGROUND_S) * fps, last - first)
                start = random.uniform(first, last - frames)
                stop = start + frames
            else:
                kinds = self._gestures[list(self._gestures)[random.integers(len(self._gestures))]]
                gesture = kinds[random.integers(len(kinds))]
                clip, fps = gesture.clip, float(self._store.index.fps[gesture.clip])
                start = max(gesture.free[0], gesture.first - random.uniform(*CONTEXT_S) * fps)
                stop = min(gesture.free[1], gesture.last + 1 + random.uniform(*CONTEXT_S) * fps)
            size = size or self._sizes[clip]
            moving = round(random.uniform(*MOVE_S) * self._rate)
            away = random.normal(size=(self._store.frames.shape[-1],)) * (DRIFT * size)
            timeline.move_over(clip, start, frames=moving, away=away, weight=self._options.background / 2)
            timeline.put(clip, start, stop, own)
        return size

    def _changed(self, points: Points, size: float, random: Random) -> tuple[Points, bool]:
        """(T, V, C) of another person: reach, each joint's own error, noise, lost hands, then `ranges`; and whether it
        is a mirror image, in which left is right."""
        options, axes, joints = self._options, points.shape[-1], points.shape[1]
        layout = self._store.layout
        centre = points[:, list(layout.centre)].mean(axis=1, keepdims=True)
        if options.reach and np.isfinite(centre).any():
            middle = np.nanmean(centre, axis=0, keepdims=True)
            factor = np.exp(random.uniform(-1, 1, axes) * np.log1p(options.reach))
            points = points + np.nan_to_num((centre - middle) * (factor - 1), nan=0.0)
        error = random.normal(size=(joints, axes)) * (options.offset * size)
        noise = random.normal(size=points.shape) * (self._noise * size * random.random())
        points = np.asarray(points + error + noise, np.float32)
        drawn = draw(points[None], frames=len(points), layout=layout, ranges=self._ranges, random=random)
        even = replace(drawn, positions=np.arange(len(points), dtype=np.float64))
        changed = np.asarray(apply(points[None], even, layout=layout)[0])
        if axes == DEPTH + 1 and random.random() < options.webcam:
            changed = self._pictured(changed, size, random)
        if random.random() < options.lost:
            first = int(random.integers(len(points)))
            changed[first : first + int(random.uniform(0.04, 0.6) * self._rate)] = np.nan
        return changed, drawn.mirrored

    def _pictured(self, points: Points, size: float, random: Random) -> Points:
        """(T, V, 3) as a detector of landmarks gives them of a picture.

        Seen from higher or lower; depth from the body's centre alone, less of it and noisy; and not found in frames in
        which it moves too fast.
        """
        angle, centre = np.radians(random.uniform(*ELEVATION_DEG)), list(self._store.layout.centre)
        turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        seen = np.asarray(points @ turn.T, np.float32)
        middle = seen[:, centre].mean(axis=1, keepdims=True)
        own = seen[..., DEPTH] - middle[..., DEPTH]
        coarse = random.normal(size=own.shape) * (self._options.offset * size)
        seen[..., DEPTH] = own * random.uniform(*DEPTH_SEEN) + coarse
        way = np.diff(middle[:, 0, :DEPTH], axis=0, prepend=middle[:1, 0, :DEPTH])
        speed = np.nan_to_num(np.linalg.norm(way, axis=1)) * self._rate / size
        if random.random() < BLURRED:
            lost = speed > random.uniform(*BLUR)
            width = 1 + round(random.uniform(*FOUND_S) * self._rate)
            seen[np.convolve(lost, np.ones(width))[: len(lost)] > 0] = np.nan
        return seen

    def _size(self, clip: int) -> float:
        length = limb_length(self._store.points(clip)[0], self._store.layout)
        return length if np.isfinite(length) else 1.0

    def _note(self, clip: int) -> None:
        """Remember a recording's gestures and what lies between them."""
        spans, length = self._store.index.spans[clip], int(self._store.index.length[clip])
        starts, ends = [*(int(span[1]) for span in spans), length], [0, *(int(span[2]) + 1 for span in spans)]
        for place, (label, first, last) in enumerate(spans.tolist()):
            gesture = _Gesture(clip, first, last, (ends[place], starts[place + 1]))
            self._gestures.setdefault(label, []).append(gesture)
        least = float(self._store.index.fps[clip]) * BACKGROUND_S[0]
        self._background += [(clip, end, start) for end, start in zip(ends, starts, strict=True) if start - end > least]


class _Timeline:
    """Which recorded frames a crop shows: two for each of its frames and how far to the second, so that one reading
    of the store makes all of it."""

    def __init__(self, store: ClipStore, truth: dict[int, Points], *, frames: int, rate: float) -> None:
        self._store, self._truth, self._rate = store, truth, rate
        self._before, self._after = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
        self._share = np.zeros(frames, np.float32)
        self._moved = np.zeros((frames, store.frames.shape[-1]), np.float32)
        self.truth = np.zeros((frames, 3), np.float32)
        self.truth[:, CLASS] = len(store.labels)
        self._done, self._shift = 0, np.zeros(store.frames.shape[-1], np.float32)

    @property
    def full(self) -> bool:
        """Whether every frame is taken."""
        return self._done == len(self._before)

    def step(self, clip: int, speed: float) -> float:
        """Recorded frames that one frame of the crop goes on."""
        return float(self._store.index.fps[clip]) / self._rate * speed

    def put(self, clip: int, start: float, stop: float, speed: float) -> None:
        """Recorded frames from `start` up to `stop`, as many as there is room for; the last one stands still."""
        step, offset = self.step(clip, speed), int(self._store.index.offset[clip])
        frames = min(len(self._before) - self._done, max(1, int((stop - start) / step)))
        if not frames:
            return
        own, last = slice(self._done, self._done + frames), int(self._store.index.length[clip]) - 1
        places = np.minimum(start + np.arange(frames) * step, last)
        floor = np.floor(places).astype(np.int64)
        self._before[own], self._after[own] = offset + floor, offset + np.minimum(floor + 1, last)
        self._share[own], self._moved[own] = places - floor, self._shift
        self.truth[own] = self._truth[clip][np.round(places).astype(np.int64)]
        self.truth[own, ELAPSED] /= speed
        self._done += frames
        rest = slice(self._done, None)
        self._before[rest] = self._after[rest] = self._after[self._done - 1]

    def move_over(self, clip: int, start: float, *, frames: int, away: NDArray[np.float64], weight: float) -> None:
        """From where the crop stands to the frame `start` of another recording, its centre `away` from here."""
        frames = min(frames, len(self._before) - self._done)
        if not self._done:
            return
        now = self._after[self._done - 1]
        then = int(self._store.index.offset[clip]) + int(start)
        own = slice(self._done, self._done + frames)
        share = (np.arange(frames, dtype=np.float32) + 1) / (frames + 1)
        share = share * share * (3 - 2 * share)
        shift = self._shift + np.nan_to_num(self._centre(now) - self._centre(then) + away, nan=0.0)
        self._before[own], self._after[own], self._share[own] = now, then, share
        self._moved[own] = self._shift + (shift - self._shift) * share[:, None]
        self.truth[own] = len(self._store.labels), weight, 0.0
        self._shift, self._done = np.asarray(shift, np.float32), self._done + frames

    def coarsen(self, rate: float) -> None:
        """As from a camera of another rate: whole frames a share of the crop's apart, with straight lines between."""
        places = np.arange(len(self._before)) * rate / self._rate
        first = np.round(np.floor(places) * self._rate / rate).astype(np.int64)
        last = np.minimum(np.round((np.floor(places) + 1) * self._rate / rate).astype(np.int64), len(first) - 1)
        self._coarse = np.minimum(first, last), last, np.asarray(places - np.floor(places), np.float32)[:, None, None]

    _coarse: tuple[NDArray[np.int64], NDArray[np.int64], Points] | None = None

    def forget_cut_gesture(self) -> None:
        """A gesture that has begun before the crop has no known beginning, and counts less."""
        showing = np.cumsum(self.truth[:, ELAPSED] == 0) == 0
        self.truth[showing, ELAPSED] = 0.0
        self.truth[showing, WEIGHT] *= CUT_SHARE
        self.truth[self._done :, WEIGHT] = 0.0

    def points(self) -> Points:
        """(T, V, C) of the first body."""
        frames = self._store.frames
        one, other = frames[self._before, 0], frames[self._after, 0]
        points = one + (other - one) * self._share[:, None, None] + self._moved[:, None]
        if self._coarse is not None:
            first, last, share = self._coarse
            points = points[first] * (1 - share) + points[last] * share
        return np.asarray(points, np.float32)

    def _centre(self, row: int) -> NDArray[np.float64]:
        return np.asarray(self._store.frames[row, 0, list(self._store.layout.centre)].mean(axis=0), np.float64)


def whole_recording(store: ClipStore, clip: int, *, rate: float, options: CropOptions) -> Crop:
    """A recording at another rate, as it is."""
    step = float(store.index.fps[clip]) / rate
    length = int(store.index.length[clip])
    timeline = _Timeline(
        store, {clip: frame_truth(store, clip, options)}, frames=max(1, int(np.ceil(length / step))), rate=rate
    )
    timeline.put(clip, 0.0, length + step, 1.0)
    return Crop(timeline.points(), timeline.truth)
