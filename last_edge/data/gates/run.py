"""Run every gate on a store."""

from __future__ import annotations

from collections.abc import Sequence

from last_edge.clips import ClipStore
from last_edge.data.duplicates import NearPair
from last_edge.data.gates.figures import measure
from last_edge.data.gates.gate import Gate, Limits
from last_edge.data.gates.ntu import ntu_gates
from last_edge.data.gates.people import people_gates
from last_edge.data.gates.points import point_gates


def run_gates(
    store: ClipStore, *, limits: Limits | None = None, pairs: Sequence[NearPair] | None = None
) -> tuple[Gate, ...]:
    """All gates in the order of the report; reads all points once.

    pairs: what `near_duplicates` found; without it the gate on leaks does not apply.
    """
    limits = limits or Limits()
    figures = measure(store, step=limits.step)
    return (
        *point_gates(store, figures, limits),
        *people_gates(store, figures, limits, pairs),
        *ntu_gates(store, figures, limits),
    )
