"""A translator's bundle at work: clips, videos or a camera to sentences, with ONNX Runtime alone."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.bundle import Bundle
from last_edge.bundle.manifest import (
    GOLDEN,
    INPUT_NAME,
    KEPT,
    MEMORY,
    OUTPUT_NAME,
    PAST,
    POSITION,
    SEARCH,
    TOKEN,
    decoder_of,
    encoder_file,
    encoder_precisions,
    translates,
)
from last_edge.bundle.zoo import find_bundle
from last_edge.clips.pose_file import read_pose
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, sentence_points
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.inputs.spec import seen_span
from last_edge.names import nearest
from last_edge.runtime.backends.onnxruntime import LimitedSession, OrtOptions, create_session
from last_edge.runtime.recognise.model import check_logits
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units, check_rate
from last_edge.text import SearchOptions, Vocabulary, search

Array = NDArray[Any]
Points = NDArray[np.float32]
CPU = ("CPUExecutionProvider",)
Named = tuple[str, NDArray[np.float32]]
STORE = "store:"


@dataclass(frozen=True)
class Translation:
    """What a clip says. seconds: of it that were read, the first `spec.frames` frames. ms: encoder and search together.

    clip: its name, "" where it has none.
    """

    text: str
    seconds: float
    ms: float
    clip: str = ""


class RecordingSession:
    """A decoder's session that keeps all it is fed, in order."""

    def __init__(self, session: Any) -> None:
        self._session, self.feeds = session, list[dict[str, Array]]()

    def run(self, outputs: list[str], feed: dict[str, Array]) -> Any:
        """As the session's own."""
        self.feeds.append(feed)
        return self._session.run(outputs, feed)


class OnnxDecoder:
    """See `last_edge.text.StepDecoder`; a clip's rows share what the encoder made of it."""

    def __init__(self, session: Any, memory: Sequence[Array], beam: int) -> None:
        self._session = session
        self._memory = dict(zip(MEMORY, (np.repeat(part, beam, axis=0) for part in memory), strict=True))
        keys = self._memory[MEMORY[0]]
        nothing = np.zeros((*keys.shape[:3], 0, keys.shape[4]), np.float32)
        self._past = dict.fromkeys(PAST, nothing)

    def step(self, tokens: NDArray[np.int64], position: int) -> NDArray[np.float32]:
        feeds = {TOKEN: tokens, POSITION: np.array([position], np.int64), **self._past, **self._memory}
        logits, *kept = self._session.run([OUTPUT_NAME, *KEPT], feeds)
        self._past = dict(zip(PAST, kept, strict=True))
        return np.asarray(logits, np.float32)

    def keep(self, rows: NDArray[np.int64]) -> None:
        self._past = {name: value[rows] for name, value in self._past.items()}


@dataclass(frozen=True)
class Translator:
    """A translator's bundle with its sessions loaded; `last_edge.load` makes it.

    encoder, decoder: sessions. options: the bundle's search. units: of the points it takes.
    """

    name: str
    encoder: Any
    decoder: Any
    spec: InputSpec
    units: Units
    vocabulary: Vocabulary
    options: SearchOptions

    @classmethod
    def open(cls, path: str | Path, *, precision: str | None = None, threads: int | None = None) -> Self:
        """As `of`, of the bundle at a path or of that name in the zoo; `InputError` when it is damaged."""
        return cls.of(Bundle.open(find_bundle(path)), precision=precision, threads=threads)

    @classmethod
    def of(cls, bundle: Bundle, *, precision: str | None = None, threads: int | None = None) -> Self:
        """Load an opened bundle. precision: None takes INT8 where the bundle has it. threads: None for 1.

        An encoder without a decoder of its precision works with the FP32 one. `InputError` when the bundle is no
        translator's or has no such encoder.
        """
        manifest = bundle.manifest
        if not translates(manifest):
            raise InputError("this bundle gives classes, not sentences", where=bundle.path, hint="last-edge run BUNDLE")
        precision = precision or encoder_precisions(manifest)[-1]
        if encoder_file(precision) not in manifest.files:
            expected, hint = ", ".join(encoder_precisions(manifest)), "last-edge quantize BUNDLE --store STORE"
            raise InputError(f"bundle has no {precision} encoder", where=bundle.path, expected=expected, hint=hint)
        encoder, decoder = (
            create_session(
                bundle.read(name),
                threads=1 if threads is None else threads,
                options=OrtOptions(),
                providers=CPU,
                where=str(bundle.path / name),
            )
            for name in (encoder_file(precision), decoder_of(manifest, precision))
        )
        search_file = bundle.path / SEARCH
        translator = cls(
            name=manifest.name, encoder=encoder, decoder=decoder, spec=manifest.input,
            units=cast(Units, manifest.units), vocabulary=Vocabulary(manifest.labels),
            options=records.from_dict(
                SearchOptions, records.parse_json(bundle.read(SEARCH), where=search_file), where=search_file
            ),
        )  # fmt: skip
        if GOLDEN in bundle.contents:
            translator._check_answer(bundle.golden.points[:1], where=bundle.path / encoder_file(precision))
        return translator

    def _check_answer(self, clip: Points, *, where: Path) -> None:
        """Hold the graphs to their manifest: see `last_edge.runtime.recognise.model.check_answer`."""
        encoder, decoder = (LimitedSession(graph, where=str(where)) for graph in (self.encoder, self.decoder))
        logits = dataclasses.replace(self, encoder=encoder, decoder=decoder).first_logits(clip)
        check_logits(logits, (1, len(self.vocabulary.tokens)), where=where)

    @property
    def layout(self) -> Layout:
        """Of the points it takes."""
        return self.spec.layout

    def sentences(self, points: Points, *, beam: int | None = None) -> list[str]:
        """Texts of clips (N, T, V, C), NaN behind the shorter ones; of each the first `spec.frames` frames count."""
        options = self.options if beam is None else dataclasses.replace(self.options, beam=beam)
        memory = self.encode(points)
        found = search(OnnxDecoder(self.decoder, memory, options.beam), len(points), options)
        return [self.vocabulary.text(ids) for ids in found]

    def translate(
        self, points: NDArray[np.floating[Any]], *, fps: float = 30.0, name: str = "", beam: int | None = None
    ) -> Translation:
        """What one clip says, and how long finding it took.

        points: (T, V, C) of one person, any number of frames, NaN where a point is missing; frames are read as they
        are, so they should come at the rate of the training data. fps: theirs, which gives the seconds that were read.
        Raises `InputError` for another shape, no frame, infinite points or too few axes, `UsageError` for no rate.
        """
        begun = time.perf_counter()
        check_rate(fps)
        clip = np.asarray(points, np.float32)
        joints, axes = self.layout.joints, self.spec.channels
        if clip.ndim != 3 or not len(clip) or clip.shape[1] != joints or clip.shape[2] < axes:
            expected = f"(T, {joints}, {axes}), the joints of {self.layout.name}"
            raise InputError("points do not fit the layout", expected=expected, got=clip.shape)
        if np.isinf(clip).any():
            raise InputError("infinite points", expected="finite numbers, NaN where a point is missing")
        (text,) = self.sentences(clip[None, ..., :axes], beam=beam)
        seconds = min(len(clip), self.spec.frames) / fps
        return Translation(text, round(seconds, 3), round((time.perf_counter() - begun) * 1000, 2), name)

    def encode(self, points: Points) -> list[Array]:
        """What the decoder reads of clips (N, T, V, C): keys, values, and which of them are there."""
        short = np.ascontiguousarray(points[:, : self.spec.frames], np.float32)
        return cast(list[Array], self.encoder.run(list(MEMORY), {INPUT_NAME: short}))

    def first_logits(self, points: Points) -> NDArray[np.float32]:
        """(N, K) logits of each clip's first sub-word."""
        start = np.full(len(points), self.vocabulary.tokens.index("[SOS]"), np.int64)
        return OnnxDecoder(self.decoder, self.encode(points), 1).step(start, 0)


def clips_of(
    source: str, spec: InputSpec, *, units: Units, split: str | None = None, limit: int | None = None
) -> Iterator[Named]:
    """Names and points (T, V, C) of a source's clips, from the first frame that shows anything.

    source: `FILE.pose`, `store:FOLDER` or `store:FOLDER#CLIP`, CLIP a source id, or `#NUMBER` where there is none.
    split: of a store.
    Raises `UsageError`, and `InputError` for what is absent or of another layout, number of axes or unit.
    """
    if source.startswith(STORE):
        return islice(_of_store(source.removeprefix(STORE), spec, units, split), limit)
    if Path(source).suffix != ".pose":
        raise UsageError("no clips in this", expected="FILE.pose, store:FOLDER or store:FOLDER#CLIP", got=source)
    if split is not None:
        raise UsageError("--split is for a store", got=source)
    return iter([_of_pose(Path(source), spec, units)])


def _of_store(place: str, spec: InputSpec, units: Units, split: str | None) -> Iterator[Named]:
    folder, _, wanted = place.partition("#")
    store = ClipStore.open(Path(folder))
    check_points(store, spec)
    _check_units(store.units, units, folder)
    named = [(_name(store, int(clip)), int(clip)) for clip in store.select(split=split)]
    if not named:
        splits = ", ".join(sorted(set(store.index.split.tolist())))
        raise InputError("no clips of this split in the store", where=folder, expected=splits, got=split)
    chosen = [(name, clip) for name, clip in named if wanted in ("", name)]
    if not chosen:
        near = nearest(wanted, [name for name, _ in named])
        expected = " or ".join(near) or "a source id, or # and a number"
        raise InputError("no such clip in the store", where=folder, expected=expected, got=wanted)
    return ((name, sentence_points(store, clip, spec.frames)) for name, clip in chosen)


def _name(store: ClipStore, clip: int) -> str:
    """A clip's source id, else its number in the store."""
    return str(store.index.source_id[clip]) or f"#{clip}"


def _of_pose(path: Path, spec: InputSpec, units: Units) -> Named:
    clip = read_pose(path, layout=spec.layout)
    _check_units(clip.units, units, path)
    if clip.coords.shape[-1] < spec.channels:
        raise InputError("file has too few axes", where=path, expected=spec.channels, got=clip.coords.shape[-1])
    first, last = seen_span(clip.coords[:1])
    return path.name, clip.coords[0, first : last + 1, :, : spec.channels]


def _check_units(got: Units, expected: Units, where: object) -> None:
    if got != expected:
        raise InputError("points in other units than the translator's", where=where, expected=expected, got=got)
