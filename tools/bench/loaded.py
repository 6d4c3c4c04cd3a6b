"""A file ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from last_edge.runtime.backends import Backend
from last_edge.runtime.recognise.model import Settings
from last_edge.tools.bench.subjects import Subject


@dataclass(frozen=True)
class Loaded:
    """One file in one backend. run: one prediction of the subject's input with that number. alone: a process of its own
    can load and weigh it.
    """

    subject: Subject
    backend: type[Backend]
    settings: Settings
    load_ms: float
    run: Callable[[int], object]
    alone: bool = True
