"""What a benchmark times of a translator: its encoder, a step of its decoder, and a whole sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import decoder_file, decoder_of, encoder_file, encoder_precisions, translates
from last_edge.errors import UsageError
from last_edge.inputs.features import LANDMARKS
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.recognise.model import Settings
from last_edge.runtime.translator import OnnxDecoder, RecordingSession, Translator
from last_edge.text import EOS, search
from last_edge.timing import Call
from last_edge.tools.bench.subjects import Loaded, Subject, time_loading

SUB_WORDS = 12
"""Length of the timed sentence, and how many a timed step has read; equal for all, whatever a file would say."""


def translator_bundle(path: Path) -> Bundle | None:
    """The bundle at `path` when it is a translator's."""
    if not is_bundle(path):
        return None
    bundle = Bundle.open(path)
    return bundle if translates(bundle.manifest) else None


def load_translators(
    bundle: Bundle, *, precisions: Sequence[str], threads: Sequence[int], backends: Sequence[str]
) -> list[Loaded]:
    """The parts of a translator's bundle in each precision it has or is asked for, for each thread count."""
    if set(backends) - {"all", OnnxRuntimeCpu.name}:
        raise UsageError("a translator runs in ONNX Runtime on the processor", expected=OnnxRuntimeCpu.name,
                         got=", ".join(backends))  # fmt: skip
    chosen = precisions or encoder_precisions(bundle.manifest)
    return [part for precision in chosen for count in threads or (1,) for part in _parts(bundle, precision, count)]


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
