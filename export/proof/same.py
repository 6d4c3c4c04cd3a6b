"""Whether two outputs are the same: one measure of every form, backend and precision of a model, and its limits."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import Figure
from last_edge.errors import GateError
from last_edge.tasks.metrics import agreement_holds
from last_edge.tasks.task import Answers

Logits = NDArray[np.float32]
ParityRow = dict[str, Figure]
# Share of the largest logit that another backend may be off: rounding for FP32, one more rounding a layer for INT8.
RELATIVE_TOLERANCE = {"fp32": 1e-4, "int8": 0.05}
ORDER = ("torch", "fp32", "int8")
# Share of clips, in percent, that must get the same answer; one clip may always differ.
LEAST_AGREEMENT = {"torch:fp32": 99.9, "fp32:int8": 97.0}
LIMIT = "min_agreement"
"""What a manifest's calibration calls the share that `quantize` held the INT8 file to."""
SMALLEST = 1e-6
# Logits that differ by less between inputs say the same to all of them.
CONSTANT = 1e-4


def difference(one: NDArray[np.floating], other: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """|one - other| of two arrays of a shape, and its root mean square over that of `one`.

    NaN is equal to NaN and to one infinity the same; elsewhere what is not finite is infinitely far.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.where((first == second) | (np.isnan(first) & np.isnan(second)), 0.0, np.abs(first - second))
    apart = np.nan_to_num(apart, nan=np.inf)
    return apart, _root_mean_square(apart) / max(_root_mean_square(first[np.isfinite(first)]), SMALLEST)


def compare(reference: Answers, other: Answers) -> ParityRow:
    """n, and the share of clips with the same answer in percent; of logits (n, K) the largest and mean difference."""
    if isinstance(reference, list):
        same = np.array([one == two for one, two in zip(reference, other, strict=True)])
        return {"n": len(reference), "agreement": round(100.0 * float(same.mean()), 3)}
    apart, _ = difference(reference, np.asarray(other))
    same = reference.argmax(1) == np.asarray(other).argmax(1)
    return {
        "n": len(reference),
        "max_abs": round(float(apart.max()), 9),
        "mean_abs": round(float(apart.mean()), 9),
        "agreement": round(100.0 * float(same.mean()), 3),
    }


def fault(got: Logits, expected: Logits | None, *, most: float) -> str:
    """Why logits (n, K) are not the expected ones to within `most`; empty when they are."""
    if expected is None or expected.shape != got.shape:
        return "no golden logits recorded" if expected is None else f"logits {got.shape}, not {expected.shape}"
    if not np.isfinite(got).all():
        return "logits are not finite"
    if len(got) > 1 and np.ptp(expected, axis=0).max() > CONSTANT >= np.ptp(got, axis=0).max():
        return "gives every input the same logits"
    gap = float(difference(expected, got)[0].max())
    return "" if gap <= most else f"max |Δ| {gap:.3g}, allowed {most:.3g}"


def tolerance(precision: str, logits: Logits) -> float:
    """Largest |difference| from these golden logits that a backend may show."""
    return float(f"{RELATIVE_TOLERANCE[family(precision)] * max(float(np.abs(logits).max()), 1.0):.3g}")


def check_parity(reference: Logits, graph: Logits, *, precision: str, where: object) -> None:
    """`GateError` when a file's logits are not those of the model it was made from."""
    allowed = tolerance(precision, reference)
    wrong = fault(graph, reference, most=allowed)
    if wrong:
        raise GateError(f"{precision} file differs from its model", where=where, expected=f"<= {allowed}", got=wrong)


def parity_rows(answers: Mapping[str, Answers], *, on: str) -> tuple[ParityRow, ...]:
    """A row for each neighbouring pair of torch, fp32, int8, and for fp32 with every other INT8; on: which inputs."""
    have = [name for name in ORDER if name in answers]
    others = sorted(name for name in answers if name.startswith("int8-"))
    pairs = [*zip(have, have[1:], strict=False), *(("fp32", name) for name in others if "fp32" in answers)]
    return tuple({"pair": f"{one}:{other}", "on": on, **compare(answers[one], answers[other])} for one, other in pairs)


def disagreement(row: ParityRow, calibration: Mapping[str, Figure]) -> str:
    """Why a row's two forms agree on too few clips; empty when they do on enough.

    calibration: of the manifest; where its file was shipped at a lower limit, that one counts.
    """
    pair = family(str(row["pair"]))
    needed, n, agreement = LEAST_AGREEMENT[pair], int(row["n"]), float(row["agreement"])
    if pair == "fp32:int8":
        needed = min(needed, float(calibration.get(LIMIT, needed)))
    if agreement_holds(round(n * agreement / 100.0), n, needed):
        return ""
    return f"{agreement:g}% of {n} answers agree, needed {needed:g}%"


def family(name: str) -> str:
    """A precision or pair without the target that an INT8 file is for: `fp32:int8-arm64` is judged as `fp32:int8`."""
    return name.partition("-")[0]


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0
