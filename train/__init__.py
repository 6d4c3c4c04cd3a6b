"""Training: configuration, loop, schedules, evaluation, checkpoints. `last_edge.train(…)` is `last_edge.api.train`."""

from last_edge.callable_package import make_callable

make_callable(__name__)
