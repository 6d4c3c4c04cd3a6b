"""What rounding each node alone costs, and which of them to keep in float within a latency budget."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from last_edge.bundle.manifest import Figure
from last_edge.export.int8.qdq import float_nodes
from last_edge.export.int8.quantize import Prepared
from last_edge.export.int8.speed import milliseconds
from last_edge.export.proof.judge import Judge
from last_edge.inputs.features import Inputs

WEIGHED = ("Conv", "MatMul", "Add")


@dataclass(frozen=True)
class Sensitivity:
    """One node: `error` of the logits in percent when it alone is rounded (see `Verdict`)."""

    name: str
    kind: str
    error: float
    agreement: float

    def row(self) -> dict[str, Figure]:
        """For a table."""
        return {
            "node": self.name,
            "kind": self.kind,
            "error": round(self.error, 3),
            "agreement": round(self.agreement, 2),
        }


def sensitivities(prepared: Prepared, judge: Judge) -> list[Sensitivity]:
    """Every node that is rounded, the most sensitive first."""
    proto = onnx.load_from_string(prepared.graph)
    fixed = float_nodes(proto, keep_float=prepared.options.keep_float, float_head=prepared.options.float_head)
    nodes = [node for node in proto.graph.node if node.op_type in WEIGHED and node.name not in fixed]
    found = []
    for node in nodes:
        others = tuple(other.name for other in nodes if other is not node)
        verdict = judge(prepared.rounded(keep_float=(*prepared.options.keep_float, *others)))
        found.append(Sensitivity(node.name, node.op_type, verdict.error, verdict.agreement))
    return sorted(found, key=lambda one: -one.error)


def search_float(
    prepared: Prepared, judge: Judge, table: list[Sensitivity], inputs: Inputs, *, budget: float
) -> tuple[tuple[str, ...], list[dict[str, Figure]]]:
    """Nodes to keep in float: taken in the order of the table while the graph stays within `budget` times its latency.

    A node that breaks the budget is left rounded. Errors may cancel, so of all that were kept on the way those are
    returned that the judge found nearest to float; with them a row a trial.
    """
    taken: tuple[str, ...] = prepared.options.keep_float
    whole, rows = prepared.rounded(), []
    best, kept = judge(whole), taken
    for one in table:
        tried = (*taken, one.name)
        graph = prepared.rounded(keep_float=tried)
        spent = milliseconds({"int8": whole, "tried": graph}, inputs)
        times, verdict = spent["tried"] / spent["int8"], judge(graph)
        within = times <= budget
        rows.append({"node": one.name, **verdict.row(), "times_as_slow": round(times, 3), "within": within})
        taken = tried if within else taken
        if within and verdict.rank < best.rank:
            best, kept = verdict, tried
    return kept, rows
