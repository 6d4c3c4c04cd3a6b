"""What a benchmark times of a bundle that answers at every frame: one frame of one person, its state going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import model_file
from last_edge.inputs.features import LANDMARKS
from last_edge.runtime.backends import BACKENDS
from last_edge.runtime.backends.stepper import RUN_STREAMS, stepping
from last_edge.runtime.recognise.model import Settings, open_stepper, settings_of
from last_edge.tools.bench.subjects import Loaded, Subject, time_loading


def stream_bundle(path: Path) -> Bundle | None:
    """The bundle at `path` when it answers at every frame."""
    if not is_bundle(path):
        return None
    bundle = Bundle.open(path)
    return bundle if bundle.manifest.stream is not None else None


def load_streams(
    bundle: Bundle, *, precisions: Sequence[str], threads: Sequence[int], backends: Sequence[str], usual: bool
) -> list[Loaded]:
    """Each precision that a bundle has or is asked for, in each backend and for each thread count.

    Raises `UsageError` for a backend that runs no streams.
    """
    here = [name for name, kind in RUN_STREAMS.items() if kind.is_available()]
    loaded = []
    for name in here if "all" in backends else backends:
        for precision in precisions or bundle.precisions:
            own = Settings() if usual else settings_of(bundle.manifest, precision)
            for count in threads or (own.threads,):
                loaded.append(_load(bundle, precision, replace(own, threads=count), backend=name))
    return loaded


def _load(bundle: Bundle, precision: str, settings: Settings, *, backend: str) -> Loaded:
    graph = bundle.graph(precision)
    stepper, load_ms = time_loading(lambda: open_stepper(bundle, graph, settings, backend=backend))
    # What is seen of the first golden clip, so that the next frame is always another.
    frames = bundle.golden.points[0]
    subject = Subject(
        artefact=str(bundle.path), name=bundle.manifest.name, kind="bundle", file=model_file(precision),
        content=graph, precision=precision, inputs={LANDMARKS: frames}, settings=settings,
        metrics=bundle.manifest.metrics.get(precision, {}), bundle=bundle,
    )  # fmt: skip
    return Loaded(subject, BACKENDS[backend], settings, load_ms, stepping(stepper, frames), alone=False)
