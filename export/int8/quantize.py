"""Post-training static quantisation: an 8-bit graph beside an FP32 one, from calibration clips alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import onnx

from last_edge.errors import UsageError
from last_edge.export.int8.equalise import equalise, relu_pairs
from last_edge.export.int8.qdq import with_qdq
from last_edge.export.int8.ranges import Method, calibrate
from last_edge.export.targets.targets import USUAL_TARGET, target_named
from last_edge.inputs.features import Inputs, count_of, pick
from last_edge.tasks.config import QuantizeConfig

# Clips that equalise: largest values a channel are far steadier than a range.
FEW = 128


@dataclass(frozen=True)
class QuantizeOptions:
    """How ranges are found, what is done to the weights first, and what stays float.

    method: `minmax`; `percentile`, the share of values inside the range; or `entropy`, the range whose 8-bit histogram
    is nearest to the float one (Migacz 2017).
    equalise: bring channels to like range first (`equalise`); None where the graph has channels that it can do so to.
    keep_float: names of further nodes to leave in float, when one of them costs accuracy.
    float_head: leave pooling and classifier in float; they are a thousandth of the work.
    target: of `targets.TARGETS`.
    """

    method: Method = "entropy"
    percentile: float = 99.99
    equalise: bool | None = False
    keep_float: tuple[str, ...] = ()
    float_head: bool = True
    target: str = USUAL_TARGET

    @classmethod
    def from_recipe(
        cls, limits: QuantizeConfig, *, keep_float: tuple[str, ...] = (), target: str = USUAL_TARGET
    ) -> QuantizeOptions:
        """Options as a recipe's `quantize` section has them."""
        method: Method = limits.method  # type: ignore[assignment]
        return cls(method, limits.percentile, limits.equalise, keep_float=keep_float, target=target)


@dataclass(frozen=True)
class Prepared:
    """A graph with its ranges, ready to be rounded with these or other nodes in float. options: as carried out."""

    graph: bytes
    ranges: object
    options: QuantizeOptions

    def rounded(self, *, keep_float: tuple[str, ...] | None = None) -> bytes:
        """The 8-bit graph; keep_float: instead of the options'."""
        kept = self.options.keep_float if keep_float is None else keep_float
        target = target_named(self.options.target)
        return with_qdq(self.graph, self.ranges, target, keep_float=kept, float_head=self.options.float_head)


def quantize_graph(graph: bytes, inputs: Inputs, options: QuantizeOptions | None = None) -> bytes:
    """The 8-bit graph of an FP32 one; `inputs` are those of the calibration clips."""
    return prepare(graph, inputs, options or QuantizeOptions()).rounded()


def prepare(graph: bytes, inputs: Inputs, options: QuantizeOptions) -> Prepared:
    """Equalise and find ranges; `UsageError` when equalising is asked for and the graph has nothing to equalise."""
    can = bool(relu_pairs(onnx.load_from_string(graph)))
    if options.equalise and not can:
        raise UsageError(
            "nothing to equalise in this model", expected="two convolutions with nothing but a ReLU between them",
            hint="without quantize.equalise=true",
        )  # fmt: skip
    if options.equalise is not False and can:
        graph = equalise(graph, pick(pick(inputs, slice(None, None, max(1, count_of(inputs) // FEW))), slice(FEW)))
    ranges = calibrate(graph, inputs, method=options.method, percentile=options.percentile)
    return Prepared(graph, ranges, dataclasses.replace(options, equalise=options.equalise is not False and can))
