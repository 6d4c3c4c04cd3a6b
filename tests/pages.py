"""What a reader copies from a page of the documentation: its shell commands and its Python."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.MULTILINE | re.DOTALL


def section_of(page: str, heading: str) -> str:
    """The text under one heading of a page (a path below the repository's root), up to the next heading."""
    text = re.sub(r"^```.*?^```$", lambda block: block[0].replace("#", "\0"), (ROOT / page).read_text(), flags=BLOCKS)
    (found,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, flags=BLOCKS)
    return str(found).replace("\0", "#")


def shell(page: str, heading: str) -> list[str]:
    """The shell commands under one heading, without their remarks; a command that goes on is one line."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", section_of(page, heading), flags=BLOCKS)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+# .*", "", line) for line in lines if line.strip()]


def python(page: str) -> list[str]:
    """The Python of a page that can run anywhere, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), flags=BLOCKS)
