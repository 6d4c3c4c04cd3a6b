"""The house holds together: no circle between modules, no crowded folder, no torch where none is needed."""

from __future__ import annotations

import graphlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grimp
import pytest

from last_edge.tools.size import describe, import_lines, source_files

MOST_FILES = 20
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
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


def test_no_folder_has_more_files_than_one_can_survey() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = Counter(str(Path(name).parent) for name in listed)
    assert {folder: files for folder, files in folders.items() if files > MOST_FILES} == {}


def test_the_walk_has_few_stops_and_names_files_and_things_that_exist() -> None:
    """Recording to prediction in training, export and a run, file by file."""
    source = "\n".join(file.read_text() for file in source_files())
    defined = set(re.findall(r"^\s*(?:class|def) (\w+)", source, flags=re.MULTILINE))
    ways = re.findall(r"^## A clip's way through .*\n((?:.|\n)*?)(?=^## )", PAGE, flags=re.MULTILINE)
    assert len(ways) == 3
    for way in ways:
        stops = re.findall(r"^(\d+)\. ((?:.|\n)*?)(?=^\d+\. |\Z)", way, flags=re.MULTILINE)
        assert [int(number) for number, _ in stops] == list(range(1, len(stops) + 1)) and len(stops) <= 12
        for _, stop in stops:
            named = [name for name in re.findall(r"`([^` ]+)`", stop) if "/" in name]
            assert named and [name for name in named if not (ROOT / name).exists()] == []
            things = re.findall(r"`(?:\w+\.)*([A-Za-z]\w*)`", stop)
            assert [name for name in things if name not in defined] == []


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
