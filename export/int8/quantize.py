"""Post-training static quantisation: an 8-bit graph beside an FP32 one, from calibration clips alone."""

from __future__ import annotations

from dataclasses import dataclass

from last_edge.export.int8.bias_correction import correct_biases
from last_edge.export.int8.equalise import equalise
from last_edge.export.int8.qdq import with_qdq
from last_edge.export.int8.ranges import Method, calibrate
from last_edge.export.targets.targets import USUAL_TARGET, target_named
from last_edge.inputs.features import Inputs, count_of, pick

# Clips that means and rounding are fitted on: they are far steadier than a range.
FEW = 128


@dataclass(frozen=True)
class QuantizeOptions:
    """How ranges are found, what is done to the weights first, and what stays float.

    method: `minmax`; `percentile`, the share of values inside the range; or `entropy`, the range whose 8-bit histogram
    is nearest to the float one (Migacz 2017).
    equalise, correct_biases, adaround: see the modules of these names.
    keep_float: names of further nodes to leave in float, when one of them costs accuracy.
    float_head: leave pooling and classifier in float; they are a thousandth of the work.
    target: of `targets.TARGETS`.
    """

    method: Method = "entropy"
    percentile: float = 99.99
    equalise: bool = False
    correct_biases: bool = False
    adaround: bool = False
    keep_float: tuple[str, ...] = ()
    float_head: bool = True
    target: str = USUAL_TARGET


@dataclass(frozen=True)
class Prepared:
    """A graph with its ranges, ready to be rounded with these or other nodes in float."""

    graph: bytes
    ranges: object
    options: QuantizeOptions

    def rounded(self, *, keep_float: tuple[str, ...] | None = None, names: bool = False) -> bytes:
        """The 8-bit graph; keep_float: instead of the options'."""
        kept = self.options.keep_float if keep_float is None else keep_float
        target = target_named(self.options.target)
        return with_qdq(
            self.graph, self.ranges, target, keep_float=kept, float_head=self.options.float_head, names=names
        )


def quantize_graph(graph: bytes, inputs: Inputs, options: QuantizeOptions | None = None) -> bytes:
    """The 8-bit graph of an FP32 one; `inputs` are those of the calibration clips."""
    return prepare(graph, inputs, options or QuantizeOptions()).rounded()


def prepare(graph: bytes, inputs: Inputs, options: QuantizeOptions) -> Prepared:
    """Equalise, find ranges, choose the weights' rounding, correct biases, as far as the options say."""
    count = count_of(inputs)
    few = pick(pick(inputs, slice(None, None, max(1, count // FEW))), slice(FEW))
    if options.equalise:
        graph = equalise(graph, few)
    ranges = calibrate(graph, inputs, method=options.method, percentile=options.percentile)
    if options.adaround:
        from last_edge.export.int8.adaround import adaround

        graph = adaround(graph, few, seven_bits=target_named(options.target).seven_bit_weights)
    if options.correct_biases:
        graph = correct_biases(graph, lambda made: Prepared(made, ranges, options).rounded(names=True), few)
    return Prepared(graph, ranges, options)
