"""How `last-edge data info` shows a store and the verdict of its gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from last_edge.data.gates import Gate
    from last_edge.data.inspect import StoreInfo

MOST = 12
"""Names that a row shows before it says how many more there are."""
VERDICTS = {True: "passed", False: "FAILED", None: "-"}


def show_gates(gates: Iterable[Gate]) -> None:
    """A row a gate, and the clips that break it; nothing for no gates."""
    from last_edge.tools.cli.output import emit, make_table

    rows = list(gates)
    if not rows:
        return
    columns = {
        "gate": [gate.name for gate in rows],
        "": [VERDICTS[gate.passed] for gate in rows],
        "rule": [gate.rule for gate in rows],
        "found": [gate.found + ("\n" + ", ".join(gate.clips) if gate.clips else "") for gate in rows],
    }
    emit({}, as_json=False, table=lambda: make_table("gates", columns))


def show_info(facts: StoreInfo) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None, title=facts.store, title_justify="left")
    for name, value in _info_rows(facts):
        table.add_row(name, value)
    console.print(table, highlight=False)


def _info_rows(facts: StoreInfo) -> Iterator[tuple[str, str]]:
    about = facts.about
    yield "dataset", f"{about.get('title', about.get('dataset', '-'))}; licence: {about.get('licence', '-')}"
    yield "content", f"{facts.clips} clips, {facts.frames} frames, {facts.fps:g} fps, sha256 {facts.sha256[:12]}"
    yield "points", f"{facts.layout}, (M, V, C) = {facts.shape}, {facts.units}; {about.get('axes', '')}"
    yield "length", "min {} / quartiles {} {} {} / max {} frames".format(*facts.lengths)
    yield (
        "missing",
        f"{facts.missing:.1%} of points; " + _joined({k: f"{v:.1%}" for k, v in facts.missing_by_part.items()}),
    )
    yield "splits", _joined({split or "none": f"{count} clips, {facts.subjects_by_split[split]} subjects"
                             for split, count in facts.splits.items()})  # fmt: skip
    yield (
        "overlap",
        _joined({pair: ", ".join(people) or "no subject" for pair, people in facts.shared_subjects.items()}),
    )
    yield "labels", f"{len(facts.labels)}: " + _counted(facts.labels)
    yield (
        "absent",
        _joined({split or "none": _some(names) for split, names in facts.labels_absent_by_split.items() if names}),
    )
    yield "subjects", f"{len(facts.subjects)}: " + _counted(facts.subjects)
    pairs = [f"{pair.one} ~ {pair.other} ({pair.distance:.3f})" for pair in facts.near_duplicates]
    yield "near-duplicates", f"{len(pairs)} across splits" + "".join(f"\n{pair}" for pair in pairs[:10])


def _counted(counts: dict[str, int]) -> str:
    """Each name's clips; of many names only the fewest and the most."""
    if len(counts) <= 2 * MOST:
        return _joined(counts)
    present = [count for count in counts.values() if count]
    return f"{len(present)} with {min(present, default=0)} to {max(present, default=0)} clips"


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")


def _joined(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"
