"""From a run to an artefact: ONNX, INT8, targets, and the proof. `last_edge.export(…)` is `last_edge.api.export`."""

from last_edge.callable_package import make_callable

make_callable(__name__)
