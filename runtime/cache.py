"""Where downloads and built engines are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$LAST_EDGE_CACHE, else ~/.cache/last-edge."""
    given = os.environ.get("LAST_EDGE_CACHE", "")
    return Path(given) if given else Path.home() / ".cache" / "last-edge"
