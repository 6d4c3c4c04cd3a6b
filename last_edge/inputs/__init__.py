"""From a clip to a model's input: the specification and its numpy transforms. One truth for training and serving."""

from last_edge.inputs.spec import InputSpec
from last_edge.inputs.transforms import fit_window, model_input, normalise, streams

__all__ = ["InputSpec", "fit_window", "model_input", "normalise", "streams"]
