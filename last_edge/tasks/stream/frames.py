"""What is shown at every frame: names of the classes, and shares of frames that are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore

BACKGROUND = "background"


def stream_labels(store: ClipStore) -> tuple[str, ...]:
    """Names of a streaming model's classes: the store's, and background behind them."""
    return (*store.labels, BACKGROUND)


def frame_figures(answers: NDArray[np.int64], wanted: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, Any]:
    """Percent of frames that are right, the same as a mean over the classes that are shown, and frames by class."""
    right = answers == wanted
    by_class = {
        labels[label]: round(100.0 * float(right[wanted == label].mean()), 2) for label in np.unique(wanted).tolist()
    }
    return {
        "frames": round(100.0 * float(right.mean()), 2),
        "mean_class": round(float(np.mean(list(by_class.values()))), 2),
        "n": len(wanted),
        "by_class": by_class,
    }
