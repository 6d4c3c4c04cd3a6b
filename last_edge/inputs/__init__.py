"""From a clip to a model's input: what it takes, its window of frames and what it reads beside landmarks."""

from last_edge.inputs.spec import InputSpec, fit_window

__all__ = ["InputSpec", "fit_window"]
