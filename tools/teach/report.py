"""The page that a teaching leaves behind: what to expect, what is taken for what, what to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from last_edge.tools.output import markdown
from last_edge.tools.teach.figures import Figures


@dataclass(frozen=True)
class Taught:
    """What came of a teaching. bundle: the folder. held_out: see `Figures.in_manifest`. sentence: the same in words.
    on_streams: what to expect of a stream, "" where it was not measured. base: what it started from, "" for nothing.
    int8: whether the bundle has an INT8 file, or why not.
    """

    bundle: str
    labels: tuple[str, ...]
    takes: dict[str, dict[str, int]]
    base: str
    held_out: dict[str, Any]
    sentence: str
    on_streams: str
    taken_for: list[list[Any]]
    advice: list[str]
    warnings: list[str]
    int8: str
    report: str
    run: str
    schema_version: int = field(default=1)


def report_of(taught: Taught, figures: Figures) -> str:
    """Markdown."""
    count = {label: sum(own.values()) for label, own in taught.takes.items()}
    rows: dict[str, list[Any]] = {
        "gesture": list(figures.by_label),
        "takes": [count.get(label, 0) for label in figures.by_label],
        "recognised %": [f"{share:.0f}" for share in figures.by_label.values()],
        "taken for": [
            ", ".join(f"{other} {times}" for one, other, times, _ in figures.taken_for if one == label)
            for label in figures.by_label
        ],
    }
    parts = [
        f"# {', '.join(taught.labels)}",
        f"{figures.sentence()}. Training accuracy is not reported: it says nothing about the next take.",
        _sentence(figures.stream_sentence()),
        markdown(rows),
        "## Next\n\n" + "".join(f"- {line}\n" for line in [*taught.advice, *taught.warnings]),
        f"Started from {taught.base or 'nothing'}; INT8: {taught.int8}.\n\n```sh\n{taught.run}\n```\n",
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _sentence(text: str) -> str:
    return text and f"{text[0].upper()}{text[1:]}."
