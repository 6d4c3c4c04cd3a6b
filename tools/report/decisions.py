"""The rules by which a student is given a teacher or a pre-trained trunk, held against an ablation, rule by rule.

The rules and the gains they expect are those of the LAST project's training plan; they were written for validation
top-1 on NTU RGB+D 60, cross-subject, and two of them for `last_lite_small`. Where an ablation is of something else, its
figure stands beside the rule all the same and the verdict says what the rule was made for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from last_edge import records
from last_edge.errors import InputError
from last_edge.tools.experiments.compare import paired_difference

Table = dict[str, Any]
NOT_MEASURED = "not measured"
MADE_FOR = {"name": "ntu", "classes": 60, "split_type": "xsub"}
NTU60 = "NTU RGB+D 60 cross-subject"
SMALL = "last_lite_small"
EFFICIENTGCN_B0 = 90.2  # NTU RGB+D 60 cross-subject, 0.29 million parameters (Song et al. 2022)
ALONE, KD, BOTH = "alone", "kd", "maskclr_kd"  # cells of the ablation
NO = "does not follow"


@dataclass(frozen=True)
class Decision:
    """One rule, the figure it asks for, and what follows."""

    rule: str
    figure: str
    verdict: str


def decisions(path: Path) -> dict[str, Any]:
    """The section of one ablation.json: what it is of, and every rule. `InputError` for any other file.

    A table of test figures is refused: these rules choose, and nothing is chosen by the test split.
    """
    table = records.read_json(path)
    if not isinstance(table, dict) or table.get("kind") != "ablation":
        raise InputError("not an ablation", where=path, expected="ablation.json of `last-edge ablate`")
    if table.get("split") != "val":
        raise InputError("nothing is chosen by test figures", where=path, expected="split val", got=table.get("split"))
    about = f"{_data(table)}, {table['clips']} clips of validation subjects, {len(table['seeds'])} seeds"
    return {"path": str(path), "about": about, "rules": [records.to_dict(rule) for rule in _rules(table)]}


def _rules(table: Table) -> Iterator[Decision]:
    alone, kd = _top1(table, ALONE), _top1(table, KD)
    distil = NOT_MEASURED if alone is None else "distil" if alone > 75 else "fix the training without a teacher first"
    yield Decision("Distil once the student alone is above 75 % on validation.", _percent(alone), distil)
    yield Decision(
        f"Leave MaskCLR out when {SMALL} reaches 88 % after distillation.",
        _percent(kd),
        _made_for(table, kd, "leave it out" if kd is not None and kd >= 88 else NO),
    )
    yield Decision(
        f"Add MaskCLR when {SMALL} is at 85 % or below after distillation.",
        _percent(kd),
        _made_for(table, kd, "add it" if kd is not None and kd <= 85 else NO),
    )
    by_gap = (
        f"Add MaskCLR when {SMALL} is more than 3 points behind EfficientGCN of like size (B0: {EFFICIENTGCN_B0} %)."
    )
    if kd is None or table["dataset"] != MADE_FOR:
        yield Decision(by_gap, NOT_MEASURED, f"made for {SMALL} on {NTU60}; this is {_data(table)}")
    else:
        gap = EFFICIENTGCN_B0 - kd
        yield Decision(by_gap, f"{gap:.2f} points", _made_for(table, kd, "add it" if gap > 3 else NO))
    # The plan expects of a teacher: nano 83 to 86, small 86 to 89; of pre-training: nano 86 to 88, small 89 to 91.
    yield _gain(table, "Distillation is expected to add 3 points to the student alone.", KD, ALONE, expected=3.0)
    yield _gain(table, "MaskCLR is expected to add 2 points to distillation.", BOTH, KD, expected=2.0)


def _gain(table: Table, rule: str, one: str, other: str, *, expected: float) -> Decision:
    """What one cell has over another, from the answers that both kept, paired by clip and seed."""
    hits = [row["hits"] for name in (one, other) for row in table["rows"] if row["name"] == name and row["hits"]]
    if len(hits) != 2:
        return Decision(rule, NOT_MEASURED, NOT_MEASURED)
    paired = paired_difference(*(np.array([[digit == "1" for digit in line] for line in lines]) for lines in hits))
    figure = f"{paired.points:+.2f} points, 95 % interval {paired.low:+.2f} to {paired.high:+.2f}"
    if not paired.clear:
        return Decision(rule, figure, "no difference shown")
    if paired.high < 0:
        return Decision(rule, figure, "it harms")
    size = "less than expected" if paired.high < expected else "more" if paired.low > expected else "as expected"
    return Decision(rule, figure, f"it helps, {size}")


def _top1(table: Table, cell: str) -> float | None:
    """A cell's mean top-1 in percent."""
    found = [row["top1"]["mean"] for row in table["rows"] if row["name"] == cell and row["top1"]]
    return float(found[0]) if found else None


def _percent(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.2f} %"


def _data(table: Table) -> str:
    own = table["dataset"]
    return f"{own['name']} with {own['classes']} classes"


def _made_for(table: Table, value: float | None, verdict: str) -> str:
    """The verdict, or what the rule was made for where the ablation is of something else."""
    if value is None:
        return NOT_MEASURED
    models = {row["model"] for row in table["rows"] if row["name"] == KD}
    if models == {SMALL} and table["dataset"] == MADE_FOR:
        return verdict
    return f"made for {SMALL} on {NTU60}; this is {', '.join(map(str, models))} on {_data(table)}"
