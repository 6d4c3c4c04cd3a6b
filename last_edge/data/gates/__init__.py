"""Quality gates of a clip store: what must hold before anything is trained on it."""

from last_edge.data.gates.gate import Gate, Limits, limits_from, require
from last_edge.data.gates.run import run_gates

__all__ = ["Gate", "Limits", "limits_from", "require", "run_gates"]
