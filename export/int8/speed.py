"""How long FP32 and 8-bit files take for a clip, in turns within one process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import OUTPUT_NAME
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, pick
from last_edge.runtime.translator import Translator
from last_edge.timing import Schedule, clock_for, summarise, time_in_turns

ROUNDS = 7
SCHEDULE = Schedule(rounds=9, calls=20, warm_up=10)


def milliseconds(graphs: dict[str, bytes], inputs: Inputs, *, threads: int = 1) -> dict[str, float]:
    """Median of the rounds' median times of one clip (1, T, V, C), by graph; on one thread its processor time."""
    sessions, feed = [open_session(graph, threads=threads) for graph in graphs.values()], pick(inputs, slice(1))
    calls = [lambda index, session=session: session.run([OUTPUT_NAME], feed) for session in sessions]
    times = time_in_turns(calls, SCHEDULE, clock=clock_for(threads))
    return {name: summarise(own).p50 for name, own in zip(graphs, times, strict=True)}


def sentence_milliseconds(
    translators: dict[str, Translator], clips: Sequence[NDArray[np.float32]], *, threads: int = 1, rounds: int = ROUNDS
) -> dict[str, float]:
    """Median of the rounds' mean times of a clip's sentence, by translator; on one thread its processor time.

    clips: (T, V, C).
    """
    calls = [
        lambda index, translator=translator: translator.sentences(clips[index][None])
        for translator in translators.values()
    ]
    schedule = Schedule(rounds=rounds, calls=len(clips), warm_up=len(clips))
    times = time_in_turns(calls, schedule, clock=clock_for(threads))
    return {name: round(float(np.median(own.mean(axis=1))), 4) for name, own in zip(translators, times, strict=True)}
