"""What an 8-bit file must hold to be shipped: accuracy, agreement, its worst class, size, and speed in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import OUTPUT_NAME, Figure
from last_edge.errors import GateError
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, pick
from last_edge.tasks.config import QuantizeConfig
from last_edge.timing import Schedule, clock_for, summarise, time_in_turns

SPEED = "times as fast as FP32"
ELSEWHERE = "not judged: made for another device"


@dataclass(frozen=True)
class Gate:
    """One figure against its limit. needed: the limit in words, the weight of one clip allowed for where it counts."""

    name: str
    got: float
    needed: str
    holds: bool

    def row(self) -> dict[str, Figure]:
        """For a table."""
        return {"gate": self.name, "got": round(self.got, 3), "needed": self.needed, "holds": self.holds}


@dataclass(frozen=True)
class Candidate:
    """An 8-bit file and the float one it would stand beside, as measured on the same clips.

    logits: (n, K) of both, labels: (n,), sizes in bytes, milliseconds a clip; params: weights of the network.
    """

    reference: NDArray[np.float32]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    size: int
    params: int
    reference_ms: float
    ms: float


def gates_of(candidate: Candidate, limits: QuantizeConfig, *, judge_speed: bool = True) -> list[Gate]:
    """Every gate of a recipe. One clip may always go wrong, in the whole and in a class: a tie is nobody's fault.

    judge_speed: False where the file is meant for another processor than the one that was timed.
    """
    labels = candidate.labels
    right, before = (logits.argmax(1) == labels for logits in (candidate.logits, candidate.reference))
    agree = candidate.logits.argmax(1) == candidate.reference.argmax(1)
    one = 100.0 / len(labels)
    worst, allowed = _worst_class(before, right, labels, limits.max_class_drop)
    size = limits.max_bytes_per_param * candidate.params + limits.max_bytes_fixed
    speedup = candidate.reference_ms / candidate.ms
    return [
        at_most("drop of top-1 in points", 100.0 * float(before.mean() - right.mean()), max(limits.max_drop, one)),
        at_least("equal answers in %", 100.0 * float(agree.mean()), min(limits.min_agreement, 100.0 - one)),
        at_most("drop of the worst class in points", worst, allowed),
        at_most("bytes", candidate.size, size),
        at_least(SPEED, speedup, limits.min_speedup) if judge_speed else Gate(SPEED, speedup, ELSEWHERE, True),
    ]


HINT = "--qat, --keep-float auto, or other limits with --set quantize.…"


def require_gates(gates: Sequence[Gate], *, where: object, hint: str = HINT) -> None:
    """`GateError` with the whole table when one does not hold."""
    failed = [gate.name for gate in gates if not gate.holds]
    if failed:
        table = "; ".join(
            f"{gate.name} {gate.got:.3f} ({gate.needed}){'' if gate.holds else ' FAILED'}" for gate in gates
        )
        raise GateError("the INT8 file is not shipped", where=where, expected="every gate holds", got=table, hint=hint)


def _worst_class(
    before: NDArray[np.bool_], after: NDArray[np.bool_], labels: NDArray[np.int64], limit: float
) -> tuple[float, float]:
    """The class whose drop exceeds what it may by most: its drop in points, and what it may."""
    drops = []
    for label in np.unique(labels):
        inside = labels == label
        drop = 100.0 * float(before[inside].mean() - after[inside].mean())
        drops.append((drop, max(limit, 100.0 / int(inside.sum()))))
    return max(drops, key=lambda pair: pair[0] - pair[1])


def at_most(name: str, got: float, limit: float) -> Gate:
    """Holds up to the limit."""
    return Gate(name, got, f"<= {limit:.2f}", got <= limit + 1e-9)


def at_least(name: str, got: float, limit: float) -> Gate:
    """Holds from the limit on."""
    return Gate(name, got, f">= {limit:.2f}", got >= limit - 1e-9)


SCHEDULE = Schedule(rounds=9, calls=20, warm_up=10)


def milliseconds(graphs: dict[str, bytes], inputs: Inputs, *, threads: int = 1) -> dict[str, float]:
    """Median of the rounds' median times of one clip (1, T, V, C), by graph; on one thread its processor time."""
    sessions, feed = [open_session(graph, threads=threads) for graph in graphs.values()], pick(inputs, slice(1))
    calls = [lambda index, session=session: session.run([OUTPUT_NAME], feed) for session in sessions]
    times = time_in_turns(calls, SCHEDULE, clock=clock_for(threads))
    return {name: summarise(own).p50 for name, own in zip(graphs, times, strict=True)}
