"""Finding how a bundle's graphs run fastest here, and writing that into its manifest."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from last_edge.bundle import Bundle, Manifest, is_bundle, rewrite_bundle
from last_edge.bundle.manifest import Figure
from last_edge.machine import processor
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.backends.onnxruntime import Buffers, OrtOptions
from last_edge.runtime.recognise.model import Settings
from last_edge.timing import Latency, Schedule, summarise, time_in_turns
from last_edge.tools.bench.subjects import Loaded, load_one, load_stream, subjects_of

# Share by which settings must beat the usual ones, in a second measurement, to be kept: less is noise.
LEAST_GAIN = 0.02
SEARCH = Schedule(rounds=6, calls=20)
USUAL = Settings()
Load = Callable[..., Loaded]
"""Opens a graph by `settings`."""


@dataclass(frozen=True)
class TuneOptions:
    """precisions: empty for all. threads: to try; empty for one, two, four … and every core. spin: also try threads
    that spin, for a device that does nothing else. schedule: of the second measurement."""

    precisions: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    spin: bool = False
    schedule: Schedule = dataclasses.field(default_factory=Schedule)


@dataclass(frozen=True)
class Tuned:
    """The result for one precision. tried: settings and their p50 in the search. usual_ms, p50_ms: of the usual and the
    chosen settings, measured once more in turns."""

    precision: str
    chosen: Settings
    p50_ms: float
    usual_ms: float
    tried: tuple[tuple[Settings, float], ...]

    def to_figures(self) -> dict[str, Figure]:
        """As the manifest keeps it."""
        return {
            **self.chosen.to_figures(),
            "backend": OnnxRuntimeCpu.name,
            "backend_version": OnnxRuntimeCpu.version(),
            "device": processor(),
            "p50_ms": self.p50_ms,
            "usual_p50_ms": self.usual_ms,
        }


def candidates(options: TuneOptions) -> list[Settings]:
    """Every combination worth trying, the usual first."""
    found = [USUAL]
    for threads, arena, buffers in itertools.product(_threads(options), (True, False), get_args(Buffers)):
        for spin in (False, True) if options.spin and threads > 1 else (False,):
            found.append(Settings(threads, OrtOptions(spin, arena, buffers)))
    return list(dict.fromkeys(found))


def tune_bundle(path: Path, options: TuneOptions | None = None) -> list[Tuned]:
    """The fastest settings of each graph; writes nothing. Raises `InputError` for a damaged bundle."""
    options = options or TuneOptions()
    bundle = Bundle.open(path) if is_bundle(path) else None
    if bundle is not None and bundle.manifest.stream is not None:
        loads = {
            precision: partial(load_stream, bundle, precision, backend=OnnxRuntimeCpu.name)
            for precision in options.precisions or bundle.precisions
        }
    else:
        subjects = subjects_of(path, OnnxRuntimeCpu, precisions=options.precisions)
        loads = {subject.precision: partial(load_one, subject, OnnxRuntimeCpu) for subject in subjects}
    return [_tune(precision, load, options) for precision, load in loads.items()]


def keep(path: Path, results: Sequence[Tuned]) -> Manifest:
    """Write the results into a bundle, hashes, seal and card in order; where the usual settings won nothing is kept."""
    bundle = Bundle.open(path)
    tuned = {**bundle.manifest.tuned}
    for result in results:
        tuned.pop(result.precision, None)
        if result.chosen != USUAL:
            tuned[result.precision] = result.to_figures()
    manifest = dataclasses.replace(bundle.manifest, tuned=tuned)
    return rewrite_bundle(bundle, manifest)


def _tune(precision: str, load: Load, options: TuneOptions) -> Tuned:
    tried = candidates(options)
    found = _time(load, tried, SEARCH)
    best = tried[min(range(len(tried)), key=lambda index: found[index].p50)]
    usual, again = _time(load, [USUAL, best], options.schedule)
    chosen, latency = (best, again) if again.p50 < usual.p50 * (1.0 - LEAST_GAIN) else (USUAL, usual)
    rows = tuple((settings, latency.p50) for settings, latency in zip(tried, found, strict=True))
    return Tuned(precision, chosen, latency.p50, usual.p50, rows)


def _time(load: Load, tried: Sequence[Settings], schedule: Schedule) -> list[Latency]:
    loaded = [load(settings=settings) for settings in tried]
    return [summarise(times) for times in time_in_turns([graph.run for graph in loaded], schedule)]


def _threads(options: TuneOptions) -> list[int]:
    cores = os.cpu_count() or 1
    doubled = [2**power for power in range(cores.bit_length()) if 2**power <= cores]
    return list(options.threads) or sorted({*doubled, cores})
