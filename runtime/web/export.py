"""A site as a folder that any host of static files can serve."""

from __future__ import annotations

from pathlib import Path

from last_edge.files import writing_folder
from last_edge.runtime.web.site import SITE, Site


def export_site(site: Site, path: Path, *, force: bool = False) -> None:
    """Write every file below `path`; nothing stands there until all do. `UsageError` as `check_free` raises."""
    with writing_folder(path, marker=SITE, force=force) as folder:
        for name, content in site.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
