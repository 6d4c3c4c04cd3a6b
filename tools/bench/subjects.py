"""What a benchmark times: files of bundles and bare ONNX files, each with the inputs it is fed, opened in a backend."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import (
    Figure,
    decoder_file,
    decoder_of,
    encoder_file,
    encoder_precisions,
    model_file,
)
from last_edge.errors import InputError, UsageError
from last_edge.inputs.features import LANDMARKS, Inputs, count_of, pick
from last_edge.runtime.backends import BACKENDS, Backend, OnnxRuntimeCpu
from last_edge.runtime.backends.stepper import RUN_STREAMS, stepping
from last_edge.runtime.recognise.model import (
    Settings,
    artefact_name,
    artefact_of,
    backend_named,
    check_graph,
    how_to_make,
    open_backend,
    open_stepper,
    settings_of,
)
from last_edge.runtime.translator import OnnxDecoder, RecordingSession, Translator
from last_edge.tasks.registry import RECOGNITION, task_of_bundle
from last_edge.text import EOS, search
from last_edge.timing import Call, Clock, Schedule

Kind = Literal["bundle", "plain", "file"]
CLIPS = 4
LOADS = 5
"""Timed loads of a graph; the first, which also loads the libraries, comes before them."""
Model = TypeVar("Model")


@dataclass(frozen=True)
class BenchOptions:
    """precisions: empty for all a bundle has. backends: by name, `all` for every one that can run here.

    threads: of the model; empty for each bundle's own, else one. usual: leave a bundle's own settings alone.
    plain: ONNX files to compare every other with. memory: start a process a row to weigh it. people: how many a call
    answers, of bundles that answer at every frame. clock: `wall`, or `processor` time of one thread of ONNX Runtime,
    so that other programs do not count.
    """

    precisions: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    backends: tuple[str, ...] = (OnnxRuntimeCpu.name,)
    plain: tuple[Path, ...] = ()
    usual: bool = False
    memory: bool = True
    people: int = 1
    clock: Literal["wall", "processor"] = "wall"
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class Subject:
    """One file to time.

    artefact: as it was named. kind: of a bundle; a `plain` export of the same model, to compare with; or a bare file.
    inputs: of some clips, fed one at a time. settings: how a bundle runs its file. metrics: as measured of it.
    """

    artefact: str
    name: str
    kind: Kind
    file: str
    content: bytes
    precision: str
    inputs: Inputs
    settings: Settings = field(default_factory=Settings)
    metrics: dict[str, Figure] = field(default_factory=dict)
    bundle: Bundle | None = None

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()

    def one(self, index: int) -> Inputs:
        """A batch of one clip."""
        start = index % count_of(self.inputs)
        return pick(self.inputs, slice(start, start + 1))

    def check(self, model: Backend) -> None:
        """`InputError` when the loaded file was made for other input than its bundle's."""
        if self.bundle is not None:
            check_graph(model, self.bundle, precision=self.precision)


@dataclass(frozen=True)
class Loaded:
    """One file in one backend. run: one prediction of the subject's input with that number. alone: a process of its own
    can load and weigh it.
    """

    subject: Subject
    backend: type[Backend]
    settings: Settings
    load_ms: float
    run: Call
    alone: bool = True


def time_loading(load: Callable[[], Model], *, clock: Clock = time.perf_counter) -> tuple[Model, float]:
    """A loaded model and the milliseconds one load takes: the median of `LOADS`, after one that is thrown away."""
    model, spent = load(), []
    for _ in range(LOADS):
        began = clock()
        model = load()
        spent.append((clock() - began) * 1000.0)
    return model, round(float(np.median(spent)), 2)


def load_one(subject: Subject, backend: type[Backend], settings: Settings) -> Loaded:
    """A file in a backend, its load timed; the inputs it is fed are read before."""
    model, load_ms = time_loading(lambda: open_backend(backend.name, subject.content, settings))
    subject.check(model)
    return Loaded(subject, backend, settings, load_ms, lambda index: model.run(subject.one(index)))


def load_classifiers(path: Path, options: BenchOptions, kind: Kind) -> list[Loaded]:
    """Each file of a bundle that gives classes, or a bare ONNX file; `UsageError` for several people in a call."""
    if options.people > 1:
        raise UsageError("--people is for bundles that answer at every frame", where=path, got=options.people)
    loaded = []
    for backend in chosen_backends(options.backends):
        for subject in subjects_of(path, backend, precisions=options.precisions, kind=kind):
            own = Settings() if options.usual else subject.settings
            for count in options.threads or (own.threads,):
                loaded.append(load_one(subject, backend, replace(own, threads=count)))
    return loaded


def subjects_of(path: Path, backend: type[Backend], *, precisions: Sequence[str], kind: Kind = "file") -> list[Subject]:
    """The files of a bundle that a backend runs, or a bare ONNX file; none of a bare file that it does not run.

    precisions: of a bundle; empty for all that there is a file for. A precision that is asked for and absent is an
    `InputError`.
    """
    if path.suffix == ".onnx":
        return [_bare(path, kind)] if backend.kind == "onnx" else []
    bundle = Bundle.open(path).recogniser()
    wanted, asked = precisions or bundle.precisions, bool(precisions)
    found = (_in_bundle(bundle, backend, precision, asked=asked) for precision in wanted)
    return [subject for subject in found if subject is not None]


def chosen_backends(names: Sequence[str]) -> list[type[Backend]]:
    """Backends by name; `all` is every one that can run here. `MissingError` for a named one that cannot."""
    if "all" in names:
        return [backend for backend in BACKENDS.values() if backend.is_available()]
    chosen = [backend_named(name) for name in names or (OnnxRuntimeCpu.name,)]
    for backend in chosen:
        backend.require()
    return chosen


def _in_bundle(bundle: Bundle, backend: type[Backend], precision: str, *, asked: bool) -> Subject | None:
    content = artefact_of(bundle, backend, precision)
    if content is None:
        if asked and backend.kind == "onnx":
            bundle.graph(precision)
        if asked:
            where = bundle.path / artefact_name(backend, precision)
            raise InputError(f"bundle has nothing for {backend.name}", where=where, hint=how_to_make(backend))
        return None
    manifest = bundle.manifest
    metrics: dict[str, Any] = manifest.metrics.get(precision, {}) if backend.kind == "onnx" else {}
    return Subject(
        artefact=str(bundle.path), name=manifest.name, kind="bundle", file=artefact_name(backend, precision),
        content=content, precision=precision, inputs=bundle.golden.inputs, settings=settings_of(manifest, precision),
        metrics=metrics, bundle=bundle,
    )  # fmt: skip


def _bare(path: Path, kind: Kind) -> Subject:
    """A file that no manifest describes: its precision is in its name (`x.int8.onnx`), its inputs are random."""
    if not path.is_file():
        raise UsageError("no such file", where=path)
    precision = next((part for part in path.name.split(".") if part in ("fp32", "fp16", "int8")), "fp32")
    content = path.read_bytes()
    random = np.random.default_rng(0)
    inputs = {
        name: random.normal(size=(CLIPS, *(size or 1 for size in shape[1:]))).astype(np.float32)
        for name, shape in OnnxRuntimeCpu(content).input_shapes.items()
    }
    return Subject(str(path), path.stem, kind, path.name, content, precision, inputs)


SUB_WORDS = 12
"""Length of the timed sentence, and how many a timed step has read; equal for all, whatever a file would say."""


def load_translators(path: Path, options: BenchOptions, kind: Kind) -> list[Loaded]:
    """The parts of a translator's bundle in each precision: encoder, a step of the decoder and a whole sentence."""
    bundle = Bundle.open(path)
    if set(options.backends) - {"all", OnnxRuntimeCpu.name}:
        raise UsageError("a translator runs in ONNX Runtime on the processor", expected=OnnxRuntimeCpu.name,
                         got=", ".join(options.backends))  # fmt: skip
    chosen, threads = options.precisions or encoder_precisions(bundle.manifest), options.threads or (1,)
    return [part for precision in chosen for count in threads for part in _parts(bundle, precision, count)]


def _parts(bundle: Bundle, precision: str, threads: int) -> list[Loaded]:
    translator, load_ms = time_loading(lambda: Translator.of(bundle, precision=precision, threads=threads))
    points, settings = bundle.golden.points, Settings(threads)
    encoder, own = encoder_file(precision), decoder_of(bundle.manifest, precision)
    files = {encoder: bundle.read(encoder), own: bundle.read(own)}
    runs: dict[str, tuple[bytes, NDArray[Any], Call]] = {
        encoder: (files[encoder], points, lambda index: translator.encode(_one(points, index))),
        f"sentence.{precision}": (
            b"".join(files.values()), points, lambda index: sentence(translator, _one(points, index))
        ),
    }  # fmt: skip
    if own == decoder_file(precision):
        step, tokens = _step(translator, points)
        runs[own] = (files[own], tokens, step)
    return [
        Loaded(_subject(bundle, name, content, precision, given, settings), OnnxRuntimeCpu, settings, load_ms, run,
               alone=False)
        for name, (content, given, run) in runs.items()
    ]  # fmt: skip


def _subject(
    bundle: Bundle, name: str, content: bytes, precision: str, points: NDArray[Any], settings: Settings
) -> Subject:
    return Subject(
        artefact=str(bundle.path), name=bundle.manifest.name, kind="bundle", file=name, content=content,
        precision=precision, inputs={LANDMARKS: points}, settings=settings, bundle=bundle,
    )  # fmt: skip


def _one(points: NDArray[Any], index: int) -> NDArray[Any]:
    start = index % len(points)
    return points[start : start + 1]


def sentence(translator: Translator, points: NDArray[np.float32]) -> list[list[int]]:
    """The best `SUB_WORDS` sub-words of a clip (1, T, V, C), by the bundle's search without its end."""
    options = dataclasses.replace(translator.options, longest=SUB_WORDS + 1)
    decoder = _Endless(translator.decoder, translator.encode(points), options.beam)
    return search(decoder, len(points), options)


def _step(translator: Translator, points: NDArray[np.float32]) -> tuple[Call, NDArray[np.int64]]:
    """One sub-word more after `SUB_WORDS` of the first clip, for every row of the beam; and what it is given."""
    recorded = RecordingSession(translator.decoder)
    sentence(dataclasses.replace(translator, decoder=recorded), points[:1])
    last = recorded.feeds[-1]
    tokens: NDArray[np.int64] = last["token"][None]
    return lambda index: translator.decoder.run(None, last), tokens


class _Endless(OnnxDecoder):
    """Sentences do not end."""

    def step(self, tokens: NDArray[np.int64], position: int) -> NDArray[np.float32]:
        logits = super().step(tokens, position)
        logits[:, EOS] = -np.inf
        return logits


def load_streams(path: Path, options: BenchOptions, kind: Kind) -> list[Loaded]:
    """One frame of each precision of a stream's bundle; `UsageError` for a backend that runs no streams."""
    bundle, here = Bundle.open(path), [name for name, backend in RUN_STREAMS.items() if backend.is_available()]
    loaded = []
    for name in here if "all" in options.backends else options.backends:
        for precision in options.precisions or bundle.precisions:
            own = Settings() if options.usual else settings_of(bundle.manifest, precision)
            for count in options.threads or (own.threads,):
                settings = replace(own, threads=count)
                loaded.append(load_stream(bundle, precision, settings, backend=name, people=options.people))
    return loaded


def load_stream(bundle: Bundle, precision: str, settings: Settings, *, backend: str, people: int = 1) -> Loaded:
    """One graph of a stream's bundle, to be asked about a frame and a state."""
    graph = bundle.graph(precision)
    stepper, load_ms = time_loading(lambda: open_stepper(bundle, graph, settings, backend=backend))
    # What is seen of the first golden clip, so that the next frame is always another.
    frames = bundle.golden.points[0]
    subject = Subject(
        artefact=str(bundle.path), name=bundle.manifest.name, kind="bundle", file=model_file(precision),
        content=graph, precision=precision, inputs={LANDMARKS: frames}, settings=settings,
        metrics=bundle.manifest.metrics.get(precision, {}), bundle=bundle,
    )  # fmt: skip
    return Loaded(subject, BACKENDS[backend], settings, load_ms, stepping(stepper, frames, people=people),
                  alone=False)  # fmt: skip


LOADERS: dict[str, Callable[[Path, BenchOptions, Kind], list[Loaded]]] = {
    "recognition": load_classifiers,
    "translation": load_translators,
    "streaming": load_streams,
}
"""By the name of a bundle's task."""


def load_all(path: Path, options: BenchOptions, *, kind: Kind = "file") -> list[Loaded]:
    """What the asked backends run of one bundle or bare file, for each thread count, each load timed."""
    task = task_of_bundle(Bundle.open(path).manifest) if is_bundle(path) else RECOGNITION
    return LOADERS[task.name](path, options, kind)
