"""Long recordings made of short ones: one person's clips with idle stretches and unknown motions between. numpy alone.

- A clip is played as it is, resampled to the stream's frame rate.
- In an idle stretch the body rests as the clip before left it, moves over to where the next begins, and rests again;
  what rests still trembles as the sensor does, estimated from the clips' own second differences.
- An unknown motion is either a clip of a class that the recogniser does not know, or made: the body goes through poses
  drawn from the person's other clips, which no class does in this order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import UsageError
from last_edge.inputs.spec import sample_at
from last_edge.names import is_background
from last_edge.skeleton import Annotation, SkeletonClip

Points = NDArray[np.float32]

MOVE_S = 0.5
SHORTEST = 3
POSES, POSE_S = (3, 6), (0.25, 0.6)
# A second difference of white noise has six times its variance, and half of its magnitudes lie below 0.6745 sigma.
TREMBLE = 0.6745 * np.sqrt(6)


@dataclass(frozen=True)
class Span:
    """What is done between two moments; label: "" for what is none of the known classes."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Stream:
    """points: (M, T, V, C). times: (T,) seconds from 0. spans: in the order of time, idle stretches between them."""

    subject: str
    points: Points
    times: NDArray[np.float64]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ComposeOptions:
    """idle_s: shortest and longest idle stretch in seconds. made: share of the spans that are made motions, below 1.

    unknown: classes whose clips are played as unknown motions. fps: frames a second; None for the store's median.
    moving: share of a clip's greatest speed from which its span begins and up to which it lasts: what many cut out is
    longer than the gesture. 0 for the whole clip.
    """

    idle_s: tuple[float, float] = (2.0, 5.0)
    made: float = 0.2
    unknown: tuple[str, ...] = ()
    fps: float | None = None
    moving: float = 0.0

    def __post_init__(self) -> None:
        good = 2 * MOVE_S <= self.idle_s[0] <= self.idle_s[1] and 0 <= self.made < 1 and 0 <= self.moving < 1
        if not good:
            expected = f"{2 * MOVE_S} <= shortest <= longest idle stretch, 0 <= made < 1, 0 <= moving < 1"
            raise UsageError("a stream cannot be composed like this", expected=expected, got=self)


def compose(
    store: ClipStore,
    clips: NDArray[np.int64],
    *,
    count: int | None = None,
    seed: int = 0,
    options: ComposeOptions | None = None,
) -> list[Stream]:
    """One stream for each person of some labelled clips, `count` of them in all; the same seed gives the same streams.

    Raises `UsageError` for an unknown class.
    """
    options = options or ComposeOptions()
    if strange := set(options.unknown) - set(store.labels):
        raise UsageError("no such class in the store", got=", ".join(sorted(strange)), expected=", ".join(store.labels))
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(clips)[:count])
    subjects = store.index.subject[chosen].astype(str)
    return [
        _Composer(store, chosen[subjects == subject], random, options).stream(subject)
        for subject in np.unique(subjects).tolist()
    ]


def write_recordings(
    store: ClipStore, out: Path, *, seed: int = 0, options: ComposeOptions | None = None, force: bool = False
) -> ClipStore:
    """A store of long recordings with annotated spans, one for each person and split of the labelled clips of a store.

    What learns from recordings can so learn from clips. `InputError` where no clip has a label.
    """
    about = {**store.about, "title": f"recordings composed of {store.about.get('title', 'clips')}", "composed": seed}
    labels = store.labels
    with writing_store(
        out, layout=store.layout, units=store.units, labels=labels, about=about, force=force
    ) as writer:  # fmt: skip
        for split in sorted(set(store.index.split.tolist())):
            clips = store.select(split=split)
            clips = clips[store.index.label[clips] >= 0]
            for made in compose(store, clips, seed=seed, options=options) if len(clips) else ():
                fps = 1 / float(np.diff(made.times).mean())
                spans = tuple(
                    Annotation(span.label, round(span.start_s * fps), round(span.end_s * fps))
                    for span in made.spans
                    if span.label and not is_background(span.label)
                )
                writer.add(
                    SkeletonClip.from_points(
                        made.points, layout=store.layout, fps=round(fps, 3), units=store.units, spans=spans,
                        subject=made.subject, split=split, source_id="/".join(filter(None, (split, made.subject))),
                    )
                )  # fmt: skip
    return ClipStore.open(out)


def recorded(store: ClipStore, clips: NDArray[np.int64]) -> list[Stream]:
    """Long recordings of a store as streams, each called by its id."""
    streams = []
    for clip in clips.tolist():
        fps, points = float(store.index.fps[clip]), store.points(clip)
        spans = [
            Span(store.labels[label], first / fps, last / fps)
            for label, first, last in store.index.spans[clip].tolist()
        ]
        name = str(store.index.source_id[clip]) or str(clip)
        streams.append(Stream(name, points, np.arange(points.shape[1]) / fps, tuple(spans)))
    return streams


class _Composer:
    """Makes one person's stream."""

    def __init__(
        self, store: ClipStore, clips: NDArray[np.int64], random: np.random.Generator, options: ComposeOptions
    ) -> None:
        self._store, self._random, self._options = store, random, options
        self._clips = random.permutation(clips)
        self._fps = options.fps or store.fps
        self._noise = float(np.median([tremble(store.points(int(clip))) for clip in clips]))

    def stream(self, subject: str) -> Stream:
        """Idle, motion, idle, motion, …, idle."""
        parts: list[Points] = []
        spans: list[Span] = []
        motions = list(self._motions())
        pose = motions[0][1][:, 0]
        for label, motion in motions:
            parts.append(self._idle(pose, motion[:, 0]))
            start = sum(part.shape[1] for part in parts) / self._fps
            parts.append(motion)
            first, last = moving_part(motion, self._options.moving, fps=self._fps)
            spans.append(Span(label, start + first / self._fps, start + last / self._fps))
            pose = motion[:, -1]
        parts.append(self._idle(pose, pose))
        points = np.concatenate(parts, axis=1)
        return Stream(subject, points, np.arange(points.shape[1]) / self._fps, tuple(spans))

    def _motions(self) -> Iterator[tuple[str, Points]]:
        """Label and points of the person's clips in random order, made motions thrown in."""
        made = self._options.made / (1 - self._options.made)
        for clip in self._clips:
            if self._random.random() < made:
                yield "", self._made()
            label = self._store.labels[int(self._store.index.label[clip])]
            points, fps = self._store.points(int(clip)), float(self._store.index.fps[clip])
            played = replayed(points, (0, points.shape[1] - 1), fps=fps, at=self._fps)
            yield "" if label in self._options.unknown else label, played

    def _made(self) -> Points:
        """A walk through poses of the person's clips."""
        poses = []
        for _ in range(self._random.integers(*POSES)):
            points = self._store.points(int(self._random.choice(self._clips)))
            poses.append(points[:, int(self._random.integers(points.shape[1]))])
        legs = zip(poses, poses[1:], strict=False)
        moves = [eased(one, other, self._frames(float(self._random.uniform(*POSE_S)))) for one, other in legs]
        return self._trembling(np.concatenate(moves, axis=1))

    def _idle(self, before: Points, after: Points) -> Points:
        """(M, T, V, C): rest, move over, rest."""
        frames = self._frames(float(self._random.uniform(*self._options.idle_s)))
        move = eased(before, after, self._frames(MOVE_S))
        first = (frames - move.shape[1]) // 2
        rests = (np.repeat(before[:, None], first, axis=1), np.repeat(after[:, None], frames - first, axis=1))
        whole = np.concatenate([rests[0], move, rests[1][:, : frames - first - move.shape[1]]], axis=1)
        return self._trembling(whole)

    def _trembling(self, points: Points) -> Points:
        return (points + self._random.normal(0, self._noise, points.shape)).astype(np.float32)

    def _frames(self, seconds: float) -> int:
        return max(2, round(seconds * self._fps))


def replayed(points: Points, span: tuple[int, int], *, fps: float, at: float) -> Points:
    """The frames of (M, T, V, C) from a first to a last one, recorded at `fps`, at another frame rate."""
    frames = max(2, round((span[1] - span[0]) / fps * at) + 1)
    return sample_at(points, np.linspace(*span, frames))


def eased(before: Points, after: Points, frames: int) -> Points:
    """(M, V, C) to (M, V, C) in `frames` steps (M, frames, V, C), slow at both ends."""
    share = np.linspace(0, 1, frames, dtype=np.float32)
    share = (share * share * (3 - 2 * share))[None, :, None, None]
    return np.asarray((1 - share) * before[:, None] + share * after[:, None], np.float32)


def moving_part(points: Points, share: float, *, fps: float) -> tuple[int, int]:
    """First and last frame of (M, T, V, C) in which the points move at `share` of their greatest speed, the mean over
    them and over a tenth of a second; all of it where nothing moves."""
    last = points.shape[1] - 1
    steps = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    seen = np.isfinite(steps)
    speed = np.where(seen, steps, 0.0).sum(axis=(0, 2)) / np.maximum(seen.sum(axis=(0, 2)), 1)
    width = min(max(1, round(fps / 10)), max(1, len(speed)))
    smooth = np.convolve(speed, np.ones(width) / width, mode="same") if len(speed) else speed
    fast = np.flatnonzero(smooth >= share * smooth.max(initial=0.0)) if share else np.zeros(0, np.int64)
    return (int(fast[0]), int(fast[-1]) + 1) if len(fast) and smooth.max() > 0 else (0, last)


def tremble(points: Points) -> float:
    """Standard deviation of the sensor's noise in (M, T, V, C), by its median second difference; 0 if too short."""
    if points.shape[1] < 3:
        return 0.0
    second = np.abs(np.diff(points, n=2, axis=1))
    seen = second[~np.isnan(second)]
    return float(np.median(seen) / TREMBLE) if len(seen) else 0.0


def between(stream: Stream) -> list[Points]:
    """Points (M, T, V, C) between the known gestures: idle stretches and motions of no class, each on its own."""
    cuts = [0.0, *(moment for span in stream.spans for moment in (span.start_s, span.end_s)), float(stream.times[-1])]
    idle = list(zip(cuts[::2], cuts[1::2], strict=True))
    made = [(span.start_s, span.end_s) for span in stream.spans if not span.label]
    frames = [np.flatnonzero((stream.times >= start) & (stream.times <= end)) for start, end in (*idle, *made)]
    return [stream.points[:, chosen] for chosen in frames if len(chosen) >= SHORTEST]
