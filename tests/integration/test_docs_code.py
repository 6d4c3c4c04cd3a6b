"""The Python on the pages for programs runs as it stands, block after block, without torch where the page says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from last_edge.skeleton import get_layout
from tests.pages import ROOT, python


def test_the_python_page_runs_from_top_to_bottom_without_torch(tmp_path: Path) -> None:
    program = "import sys\nsys.modules['torch'] = None\n" + "\n".join(python("docs/python_api.md"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "points do not fit the layout" in done.stdout and done.stdout.splitlines()[-1].startswith("1 wave ")


def test_the_onnx_page_names_every_layout_with_its_points() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs" / "onnx_contract.md").read_text(), flags=re.MULTILINE)
    shipped = sorted(path.stem for path in (ROOT / "last_edge" / "skeleton" / "layouts").glob("*.json"))
    assert sorted(name for name, _ in rows) == shipped
    assert all(get_layout(name).joints == int(points) for name, points in rows)
