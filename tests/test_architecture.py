"""The house holds together: no circle between modules, no torch where none is needed."""

from __future__ import annotations

import graphlib
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from last_edge.tools.size import describe, import_lines, source_files

ROOT = Path(__file__).parents[1]
NO_TORCH = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, sys.argv[1] + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert "torch" not in sys.modules
"""


def test_no_circle_between_modules() -> None:
    """Imports for type checkers and late ones inside functions count too."""
    graph = grimp.build_graph("last_edge", cache_dir=None)
    order = graphlib.TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    assert len(list(order.static_order())) > 100  # a circle raises CycleError, which names its modules


@pytest.mark.parametrize("package", ["last_edge.runtime", "last_edge.tools.cli"])
def test_no_torch_where_none_is_needed(package: str) -> None:
    done = subprocess.run([sys.executable, "-c", NO_TORCH, package], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_size_counts_every_file_once_and_imports_wherever_they_stand(tmp_path: Path) -> None:
    files = source_files()
    assert ROOT / "train" / "__init__.py" in files and ROOT / "last_edge" / "train" / "__init__.py" not in files
    text = "import a\n\nfrom b import (\n    c,\n)\n\n\ndef f():\n    import d\n"
    assert import_lines(text) == 5
    (tmp_path / "one.py").write_text(text)
    (tmp_path / "two.py").write_text("x = 1\n")
    assert describe([tmp_path / "one.py", tmp_path / "two.py"]) == "lines 10 files 2 median 5 imports 50.0"
