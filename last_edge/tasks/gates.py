"""What 8-bit files must hold to be shipped: a recipe's limits, to which a task holds what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import Figure
from last_edge.errors import GateError
from last_edge.tasks.config import QuantizeConfig

SPEED = "times as fast as FP32"
ELSEWHERE = "not judged: made for another device"
HINT = "--qat, --keep-float auto, or other limits with --set quantize.…"


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
    """8-bit files and the float ones they would stand beside, as measured on the same clips.

    reference, answers: of FP32 and of the 8-bit files. size: bytes of these. weights: numbers of the network in them.
    reference_ms, ms: milliseconds a clip.
    """

    reference: NDArray[np.float32] | list[str]
    answers: NDArray[np.float32] | list[str]
    size: int
    weights: int
    reference_ms: float
    ms: float

    def costs(self, limits: QuantizeConfig, *, judge_speed: bool = True) -> list[Gate]:
        """Gates of size and speed. judge_speed: False where the files are meant for another processor than this."""
        size = limits.max_bytes_per_param * self.weights + limits.max_bytes_fixed
        speedup = self.reference_ms / self.ms
        fast = at_least(SPEED, speedup, limits.min_speedup) if judge_speed else Gate(SPEED, speedup, ELSEWHERE, True)
        return [at_most("bytes", self.size, size), fast]


def require_gates(gates: Sequence[Gate], *, where: object, hint: str = HINT) -> None:
    """`GateError` with the whole table when one does not hold."""
    failed = [gate.name for gate in gates if not gate.holds]
    if failed:
        table = "; ".join(
            f"{gate.name} {gate.got:.3f} ({gate.needed}){'' if gate.holds else ' FAILED'}" for gate in gates
        )
        raise GateError("the INT8 file is not shipped", where=where, expected="every gate holds", got=table, hint=hint)


def at_most(name: str, got: float, limit: float) -> Gate:
    """Holds up to the limit."""
    return Gate(name, got, f"<= {limit:.2f}", got <= limit + 1e-9)


def at_least(name: str, got: float, limit: float) -> Gate:
    """Holds from the limit on."""
    return Gate(name, got, f">= {limit:.2f}", got >= limit - 1e-9)
