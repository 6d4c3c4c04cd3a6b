"""Quality gates of a clip store: what must hold before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence

from last_edge.clips import ClipStore
from last_edge.data.gates.copies import copy_gates, disguised_copies
from last_edge.data.gates.general import Gate, Limits, limits_from, measure, people_gates, point_gates, require
from last_edge.data.gates.ntu import ntu_gates
from last_edge.data.inspect import NearPair


def run_gates(
    store: ClipStore, *, limits: Limits | None = None, pairs: Sequence[NearPair] | None = None
) -> tuple[Gate, ...]:
    """All gates in the order of the report.

    pairs: what `near_duplicates` found; without it the gates on leaks and copies do not apply.
    """
    limits = limits or Limits()
    figures = measure(store, step=limits.step)
    copies = None if pairs is None else disguised_copies(store, near=limits.copied)
    return (
        *point_gates(store, figures, limits),
        *people_gates(store, figures, limits, pairs),
        *copy_gates(store, limits, copies),
        *ntu_gates(store, figures, limits),
    )


__all__ = ["Gate", "Limits", "limits_from", "require", "run_gates"]
