"""Where a run stands, as plain values that each checkpoint keeps."""

from __future__ import annotations

from dataclasses import dataclass, field

Row = dict[str, float]


@dataclass
class Progress:
    """step: batches taken in since the start. totals: this epoch's sums so far. history: one row an epoch."""

    step: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    best: str = ""
    best_score: list[float] = field(default_factory=list)


def validation_score(row: Row) -> list[float]:
    """The epoch with the greater score is better: validation top-1, or BLEU-4, where there is one; the smaller loss."""
    return [row.get("val_top1", row.get("val_bleu4", 0.0)), -row["val_loss"]]


def epochs_since_best(history: list[Row]) -> int:
    """Epochs since the validation score was last as good as it ever was; 0 without validation."""
    scores = [validation_score(row) for row in history if "val_loss" in row]
    return scores[::-1].index(max(scores)) if scores else 0
