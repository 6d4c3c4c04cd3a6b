"""A bundle at work, for programs: whole clips, a camera or a recording, or frames as the caller has them."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import find_bundle
from last_edge.errors import InputError, UsageError
from last_edge.runtime.backends import Backend, OnnxRuntimeCpu
from last_edge.runtime.backends.stepper import Stepper
from last_edge.runtime.closing import Closeable
from last_edge.runtime.landmarks import By, Detector
from last_edge.runtime.pipeline.feed import open_feed, source_of
from last_edge.runtime.pipeline.pipeline import Item
from last_edge.runtime.pipeline.watch import Pace, Watch
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.decoding import Event, Prediction, Rejection, choose_point
from last_edge.runtime.recognise.model import ACCEPT, Precision, load_graph, span_rules, usual_precision
from last_edge.runtime.recognise.step_stream import StepStream
from last_edge.runtime.recognise.stream import TOP, RecogniseOptions, Stream, WindowStream, checked_points
from last_edge.runtime.sources import ImageOptions
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units, check_rate
from last_edge.skeleton.people import Person, people_of


class OpenOptions(TypedDict, total=False):
    """How a source is opened, see `open_feed`.

    loop: play what has an end again and again. detector: None takes the one that feeds the bundle's layout.
    landmarks_by: the library that finds points in images; every: in one of so many. detect_every: as
    `create_landmarks` takes it. images: how images are turned and timed before. person: who is followed of several
    people in view.
    """

    loop: bool
    detector: Detector | None
    landmarks_by: By
    every: int
    detect_every: int
    images: ImageOptions | None
    person: Person


class WatchOptions(OpenOptions, total=False):
    """How `Recogniser.watch` plays a source.

    pace, limit: as for `Watch`. hand: which hand counts. options: windows and decoding. notice: called with what the
    source has to say.
    """

    pace: Pace
    limit: int | None
    hand: str
    options: RecogniseOptions | None
    notice: Callable[[str], None]


class Recogniser(Closeable):
    """A recogniser's bundle with one of its graphs loaded; `last_edge.load` makes it. Usable in a `with`.

    name, precision: of what is loaded. labels: in the order of the logits. layout, units: of the points it takes.
    spec: everything about its input. backend: raw landmarks to logits. rejection: what its answers are worth.
    hands: that it was taught, `left`, `right` or `both`. accept: least probability of an event, None where the bundle
    sets none. operating: its curves on streams, see `choose_point`. path: of the bundle. rate: frames a second that a
    model counts in that answers at every frame, None for one that takes clips. rules: by which its answers become
    gestures, where the bundle has such.

    One object may be used by one thread at a time.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        backend: str = OnnxRuntimeCpu.name,
    ) -> None:
        """Load one graph of an opened bundle; where none is asked for INT8, else an FP16 engine, else FP32.

        It runs as `bench tune` found it fastest; threads: wins over that. Raises `InputError` when the bundle has no
        such file, one made for other input, or one that reads more than landmarks; `MissingError` without the backend.
        """
        manifest = bundle.manifest
        if manifest.units not in ("image01", "metres"):
            expected = "image01 or metres"
            raise InputError("bundle in unknown units", where=bundle.path, expected=expected, got=manifest.units)
        bundle.of_landmarks("frames have no such features")
        self.precision: str = precision or usual_precision(bundle, backend)
        self._backend: Backend | None = load_graph(bundle, self.precision, backend=backend, threads=threads)
        self._options: dict[str, Any] = {"threads": threads, "backend": backend}
        self.path, self.name, self.labels = bundle.path, manifest.name, manifest.labels
        self.spec, self.layout, self.units = manifest.input, manifest.input.layout, cast(Units, manifest.units)
        self.hands = manifest.known_hands
        self.accept: float | None = manifest.thresholds.get(ACCEPT)
        self.rejection = Rejection.of(manifest.thresholds)
        self.operating = manifest.operating
        self._info = manifest.stream
        self.rate = None if self._info is None else self._info.rate
        self.rules = span_rules(bundle)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        backend: str = OnnxRuntimeCpu.name,
    ) -> Self:
        """As the constructor, of the bundle at a path or of that name in the zoo; `InputError` when it is damaged."""
        return cls(Bundle.open(find_bundle(path)), precision=precision, threads=threads, backend=backend)

    def with_precision(self, precision: Precision) -> Self:
        """The same bundle in another precision, opened anew with the same threads and backend."""
        return type(self).open(self.path, precision=precision, **self._options)

    @property
    def backend(self) -> Backend:
        """Raw landmarks to logits; `UsageError` once closed."""
        if self._backend is None:
            raise UsageError("the recogniser is closed", where=self.name, hint=f"load({str(self.path)!r})")
        return self._backend

    def predict(
        self,
        points: NDArray[np.floating[Any]],
        *,
        fps: float = 30.0,
        layout: Layout | None = None,
        units: Units | None = None,
        hand: str = "first",
        person: Person = "largest",
        top: int = TOP,
    ) -> Prediction:
        """The `top` most likely classes of one whole clip.

        points: (T, V, C) or (M, T, V, C), any number of frames, NaN where a point is missing. fps: frames a second.
        layout, units: of the points where they are not the bundle's own; they are converted as `run` does. hand: which
        hand counts where the points show two and the bundle takes one; where they show one, which one it is. One that
        the bundle was not taught is mirrored, and so are directions such as `swipe left` in the answer. person: who
        counts of more bodies than the bundle takes.
        Raises `InputError` for another shape, no frame, infinite points or too few axes, `UsageError` where the layout
        cannot be converted, the units are unknown or the rate is none.
        """
        check_rate(fps)
        stream = self.stream(layout=layout, units=units, hand=hand)
        whole = checked_points(points, stream.adapter, frames=True)
        if len(whole) > self.spec.bodies:
            whole = people_of(whole, fps=fps, person=person, bodies=self.spec.bodies)
        return stream.predict(whole, np.arange(whole.shape[1], dtype=np.float64) / fps, top=top)

    def stream(
        self,
        *,
        layout: Layout | None = None,
        units: Units | None = None,
        hand: str = "first",
        person: Person = "largest",
        options: RecogniseOptions | None = None,
    ) -> Stream:
        """Recognition of frames that the caller pushes, one source at a time.

        layout, units, hand, person: as for `predict`. options: windows and decoding. A threshold they leave open is
        that of the bundle's curve for this decoding, at the stated point or at `false_per_hour`, and so is the least
        energy; else the bundle's own. Raises `UsageError` as `choose_point` does.
        """
        if units not in (None, "image01", "metres"):
            raise UsageError("unknown units of points", expected="image01 or metres", got=units)
        options, rejection, threshold = options or RecogniseOptions(), self.rejection, self.accept
        point = choose_point(self.operating, options.decode, most_false=options.false_per_hour, where=self.path)
        if point is not None:
            rejection, threshold = replace(rejection, least_energy=point.energy), point.threshold
        if options.decoding.threshold is None and threshold is not None:
            options = replace(options, decoding=replace(options.decoding, threshold=threshold))
        adapter = Adapter(
            layout or self.layout, units or self.units, spec=self.spec, target_units=self.units, hand=hand,
            knows=self.hands,
        )  # fmt: skip
        how: Any = {"adapter": adapter, "labels": self.labels, "options": options, "rejection": rejection,
                    "person": person}  # fmt: skip
        backend = self.backend
        if isinstance(backend, Stepper) and self._info is not None:
            return StepStream(backend, info=self._info, rules=self.rules, **how)
        return WindowStream(backend, **how)

    @overload
    def watch(
        self, source: str | Path | int = ..., *, frames: Literal[False] = ..., **how: Unpack[WatchOptions]
    ) -> Iterator[Event]: ...

    @overload
    def watch(
        self, source: str | Path | int = ..., *, frames: Literal[True], **how: Unpack[WatchOptions]
    ) -> Iterator[Item]: ...

    def watch(
        self, source: str | Path | int = "cam:0", *, frames: bool = False, **how: Unpack[WatchOptions]
    ) -> Iterator[Event] | Iterator[Item]:
        """Events of a camera, an address, a video, a replay or a clip store, as they happen.

        source: as `last-edge run --source` takes it. frames: give every frame instead, an `Item` with its image or
        points, the newest prediction and its events; the last frame comes once more where its end makes an event. how:
        see `WatchOptions`. Leaving the loop closes the source.
        Raises as `open_feed` does, at the first step.
        """
        items = self._items(source, **how)
        return items if frames else _events(items)

    def _items(
        self,
        source: str | Path | int,
        *,
        pace: Pace = "fast",
        limit: int | None = None,
        options: RecogniseOptions | None = None,
        notice: Callable[[str], None] = lambda text: None,
        hand: str = "first",
        **opening: Unpack[OpenOptions],
    ) -> Generator[Item]:
        named = source_of(str(source), self.path)
        with open_feed(named, layout=self.layout, hand=hand, bodies=self.spec.bodies, **opening) as feed:
            stream = self.stream(layout=feed.layout, units=feed.units, hand=hand, options=options)
            watch = Watch(feed, stream, pace=pace, limit=limit)
            with closing(iter(watch)) as items:
                for item in items:
                    for text in feed.unread():
                        notice(text)
                    yield item
            if events := watch.finish()[0]:
                yield Item(events[-1][0], looked=False, prediction=stream.current, events=events)
            for text in feed.unread():
                notice(text)

    def close(self) -> None:
        """Let go of the graph's memory; nothing can be recognised afterwards."""
        self._backend = None


def _events(items: Generator[Item]) -> Generator[Event]:
    """What the frames complete."""
    with closing(items):
        for item in items:
            yield from (event for _, event in item.events)
