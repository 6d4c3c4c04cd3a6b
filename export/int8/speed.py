"""How long graphs take, in turns within one process, so that what the machine does hits all of them alike."""

from __future__ import annotations

from last_edge.bundle.manifest import OUTPUT_NAME
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, pick
from last_edge.timing import Schedule, clock_for, summarise, time_in_turns

SCHEDULE = Schedule(rounds=9, calls=20, warm_up=10)


def milliseconds(graphs: dict[str, bytes], inputs: Inputs, *, threads: int = 1) -> dict[str, float]:
    """Median of the rounds' median times of one clip (1, T, V, C), by graph; on one thread its processor time."""
    sessions, feed = [open_session(graph, threads=threads) for graph in graphs.values()], pick(inputs, slice(1))
    calls = [lambda index, session=session: session.run([OUTPUT_NAME], feed) for session in sessions]
    times = time_in_turns(calls, SCHEDULE, clock=clock_for(threads))
    return {name: summarise(own).p50 for name, own in zip(graphs, times, strict=True)}
