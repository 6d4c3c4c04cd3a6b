"""How each model's exported graph is declared: names, axes, operator set, tolerance; and the check of a file."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import GateError, UsageError
from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models.registry import model_names, resolve_name
from last_edge.names import did_you_mean

BATCH_AXIS = "batch"
TIME_AXIS = "time"
IR_VERSION = 10
Axes = tuple[str | int, ...]


@dataclass(frozen=True)
class ExportSpec:
    """One model's graph.

    input_name, output_name: the only ones, but for a second input (`FeatureInput`). opset: of the default domain,
    nothing from elsewhere. tolerance: largest |difference| from the model's own logits, as a share of the largest of
    them. forbidden: operators that the edge form has rewritten, or that compute shapes at run time.
    """

    input_name: str = INPUT_NAME
    output_name: str = OUTPUT_NAME
    opset: int = 20
    tolerance: float = 1e-5
    forbidden: tuple[str, ...] = ("Einsum", "BatchNormalization", "Shape", "Expand", "Dropout", "If", "Loop", "Scan")

    def input_axes(self, spec: InputSpec, *, dynamic_time: bool = False) -> Axes:
        """Batch, [bodies,] time, joints, axes of a point; a name stands for an axis that may change."""
        *bodies, frames, joints, channels = spec.shape
        return (BATCH_AXIS, *bodies, TIME_AXIS if dynamic_time else frames, joints, channels)

    def output_axes(self, classes: int) -> Axes:
        """Batch and classes."""
        return (BATCH_AXIS, classes)


LAST = ExportSpec()
# Its probabilities are averaged in the log domain, and its attention divides by sums that may be small.
LAST_V2 = ExportSpec(tolerance=2e-5)
EXPORT_SPECS: dict[str, ExportSpec] = {
    "last_e_nano": LAST,
    "last_e_small": LAST,
    "last_e_base": LAST,
    "last_e_large": LAST,
    "last_lite_nano": LAST,
    "last_lite_small": LAST,
    "last_lite_trim": LAST,
    "last_v2_small": LAST_V2,
    "last_v2_base": LAST_V2,
    "last_v2_large": LAST_V2,
    "pose_transformer_small": LAST,
    "pose_transformer_medium": LAST,
    "pose_transformer_large": LAST,
    "hybrid_nslt": LAST,
}


def export_spec(name: str) -> ExportSpec:
    """The declaration for a registered model or alias; `UsageError` where there is none."""
    known = resolve_name(name) if name not in EXPORT_SPECS else name
    if known not in EXPORT_SPECS:
        raise UsageError(
            f"no export is declared for {name!r}", expected=did_you_mean(name, set(EXPORT_SPECS) & set(model_names()))
        )
    return EXPORT_SPECS[known]


def check_graph_signature(
    proto: onnx.ModelProto, declared: ExportSpec, *, spec: InputSpec, classes: int, dynamic_time: bool = False,
    features: FeatureInput | None = None,
) -> None:  # fmt: skip
    """`GateError` naming the first of names, axes, operator sets and operators that is not as declared.

    features: the second input of a model that has one.
    """
    doors = {declared.input_name: declared.input_axes(spec, dynamic_time=dynamic_time)}
    doors |= {} if features is None else {features.name: (BATCH_AXIS, *features.shape)}
    outputs = {declared.output_name: declared.output_axes(classes)}
    for side, values, axes in (("input", proto.graph.input, doors), ("output", proto.graph.output, outputs)):
        _same(f"names of the graph's {side}s", list(axes), [value.name for value in values])
        _same(f"axes of the graph's {side}", [list(one) for one in axes.values()], [axes_of(v) for v in values])
    _same("operator sets", [("", declared.opset)], [(entry.domain, entry.version) for entry in proto.opset_import])
    forbidden = set() if dynamic_time else set(declared.forbidden)  # resampling by length needs the length's shape
    _same("forbidden operators", [], sorted(forbidden & {node.op_type for node in proto.graph.node}))


def axes_of(value: onnx.ValueInfoProto) -> list[str | int]:
    """Sizes of a graph's input or output, names where they may change."""
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _same(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise GateError(f"the exported graph differs from its declaration: {what}", expected=expected, got=got)
