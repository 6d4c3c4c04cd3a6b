"""Runs that are stopped in the middle."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

from last_edge.train.run import Run, StopRequest

StopAfter = Callable[[Run, int], StopRequest]


@pytest.fixture
def stop_after() -> StopAfter:
    """A stop that is wanted once a run has taken so many steps, as a signal would ask for it."""

    def arm(run: Run, step: int) -> StopRequest:
        stop, original = StopRequest(), run.trainer.step

        def step_then_stop(points: Tensor, labels: Tensor) -> None:
            original(points, labels)
            stop.wanted = stop.wanted or run.trainer.progress.step == step

        run.trainer.step = step_then_stop  # type: ignore[method-assign]
        return stop

    return arm
