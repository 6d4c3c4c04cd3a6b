"""The size of the source: `lines N files N median N imports P`, blank and comment lines included; `make size`."""

import ast
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("last_edge", "train", "distill", "export", "runtime", "tools")


def source_files() -> list[Path]:
    """Python files of the product, each once: the links that show stages as sub-packages are not followed."""
    return sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def import_lines(text: str) -> int:
    """Lines taken by import statements, late and type-only ones included."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes)


def describe(files: list[Path]) -> str:
    """Lines of all files, their number, the median file's lines, and the percentage of lines that import."""
    texts = [file.read_text(encoding="utf-8") for file in files]
    lines = [len(text.splitlines()) for text in texts]
    share = 100.0 * sum(map(import_lines, texts)) / sum(lines)
    return f"lines {sum(lines)} files {len(files)} median {statistics.median(lines):g} imports {share:.1f}"


if __name__ == "__main__":
    sys.stdout.write(describe(source_files()) + "\n")
