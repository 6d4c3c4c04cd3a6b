"""The site: its figures are those that the code draws, its links lead somewhere, its commands and targets exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from last_edge.tools.site.figures import draw
from last_edge.tools.site.pages import command_line, layouts, recipes, with_links_inside, write_pages

ROOT = Path(__file__).parents[3]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
CODE = re.compile(r"^```(?:sh|shell)?\n(.*?)^```$|`([^`\n]+)`", flags=re.MULTILINE | re.DOTALL)
HISTORY = {"CHANGELOG.md", "command_map.md"}
"""Pages that name what was, or what other programs are called."""


def lines_of(page: Path) -> list[str]:
    """The lines of code on a page; a line that goes on is one with the next."""
    blocks = [block or span for block, span in CODE.findall(page.read_text())]
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def test_figures_are_those_that_the_code_draws(tmp_path: Path) -> None:
    """Made anew by `python -m last_edge.tools.site.figures docs/figures`."""
    drawn = {path.name: path.read_text() for path in draw(tmp_path)}
    assert drawn == {path.name: path.read_text() for path in (ROOT / "docs" / "figures").glob("*.svg")}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.name)
def test_commands_on_pages_exist(page: Path, commands: Any) -> None:
    for line in lines_of(page):
        command, _, rest = line.partition("last-edge ")
        if command.strip() or not rest or rest.startswith("="):
            continue
        words = shlex.split(re.split(r"  #| \| | -- ", rest)[0], comments=False, posix=False)
        named = commands.named(words)
        options = {option for word in words for option in OPTION.findall(word) if word.startswith("--")}
        assert options <= commands.options(named) | {"--version"}, line


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.name)
def test_make_targets_on_pages_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in lines_of(page):
        for named in re.findall(r"^make ((?:[a-z-]+ ?)+)", line):
            assert set(named.split()) <= targets, line


def test_links_out_of_the_pages() -> None:
    text = "[a](../examples/onnx_only.py) [b](../data.md) [zoo](../../zoo) [weights](../../teachers) [c](../gone.py)"
    assert with_links_inside(text, "results") == (
        "[a](../examples/onnx_only.py) [b](../data.md) zoo weights (`teachers`) [c](../gone.py)"
    )


def test_reference_is_whole() -> None:
    text = command_line()
    assert "\n## last-edge\n" in text and "\n#### last-edge data prepare shrec17\n" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "## shrec17\n" in recipes() and "| 9 | index_tip | index_second_joint |" in layouts()


def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    """As `make docs` builds it, in a place of its own."""
    pytest.importorskip("mkdocs")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    write_pages(tmp_path / "pages")
    config = (ROOT / "mkdocs.yml").read_text()
    assert "docs_dir: build/site\n" in config and "paths: [.]" in config
    config = config.replace("docs_dir: build/site", f"docs_dir: {tmp_path / 'pages'}")
    (tmp_path / "mkdocs.yml").write_text(config.replace("paths: [.]", f"paths: [{ROOT}]"))
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "out")]
    done = subprocess.run(build, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "out" / "index.html").read_text()
    assert "https://fonts." not in home and "cdn" not in home  # nothing is loaded from elsewhere
