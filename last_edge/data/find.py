"""Where real data lie: $LAST_EDGE_DATA, else data/, else ../shared/data beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LAST_EDGE_DATA"
ROOT = Path(__file__).resolve().parents[2]
PLACES = {
    "shrec17": "shrec17/SHREC2017_skeletons.tar.xz", "shrec21": "shrec21/SHREC2021_skeletons.tar.xz",
    "utd_mhad": "utd_mhad/Skeleton.zip", "holistic_words": "holistic_words", "clips": "clips",
}  # fmt: skip


def data_roots() -> tuple[Path, ...]:
    """Folders searched for real data, best first."""
    named = os.environ.get(VARIABLE)
    return (Path(named),) if named else (ROOT / "data", ROOT.parent / "shared" / "data")


def find_data(name: str) -> Path | None:
    """The file or folder of a dataset, None when it is nowhere. `name` is one of `PLACES` or a path below a root."""
    candidates = [root / PLACES.get(name, name) for root in data_roots()]
    return next((path for path in candidates if path.exists()), None)
