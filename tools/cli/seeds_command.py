"""`last-edge seeds`: runs that differ in their seed alone as one row, with mean and spread."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import difference, emit, make_table, markdown


def seeds(
    runs: Annotated[list[Path], typer.Argument(help="Runs of `train` or `distill`.")],
    store: options.Store,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    merge_at: Annotated[
        str, typer.Option("--merge-at", help="Also score classes whose names agree before the last such text, as ', '.")
    ] = "",
    paired: Annotated[
        bool, typer.Option("--paired", help="Compare each row with the first, clip by clip and seed by seed.")
    ] = False,
    threads: options.Threads = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the table here, as Markdown.")] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Measure runs and put those that differ in nothing but the seed into one row: mean, spread, each seed's figure.

    Example: last-edge seeds runs/nano_* --store runs/shrec28/store --merge-at ', ' --out docs/results/shrec17.md
    """
    import torch

    from last_edge.clips.store import ClipStore
    from last_edge.files import check_free
    from last_edge.tools.experiments.seeds import seeds_table

    if out is not None:
        check_free(out, force=force)
    torch.set_num_threads(max(threads, 1))
    opened = ClipStore.open(store)
    rows = seeds_table(runs, opened, split=split, merge_at=merge_at, paired=paired)
    names = {"top1": f"{len(opened.labels)} classes"}
    if merge_at:
        names["merged"] = f"{rows[0]['merged_classes']} merged"
    columns = _columns(rows, names)
    if out is not None:
        _write(out, markdown(columns), split=split, clips=len(opened.select(split=split)), sha256=opened.sha256)
    emit(rows, as_json=json, table=lambda: make_table(f"top-1 % on {split}", columns))


def _columns(rows: list[dict[str, Any]], names: dict[str, str]) -> dict[str, list[Any]]:
    columns = {key: [row[key] for row in rows] for key in ("model", "parameters", "epochs", "frames", "seeds")}
    for key, title in names.items():
        columns[f"{title}, mean ± sd"] = [_mean(row[key], row[f"{key}_sd"]) for row in rows]
        columns[f"{title}, each"] = [", ".join(f"{value:.2f}" for value in row[f"{key}_each"]) for row in rows]
        if f"{key}_difference" in rows[0]:
            columns[f"{title}, above the first row"] = [difference(row[f"{key}_difference"]) for row in rows]
    return columns | {"runs": [row["runs"] for row in rows]}


def _mean(value: float, deviation: float | None) -> str:
    return f"{value:.2f}" if deviation is None else f"{value:.2f} ± {deviation:.2f}"


def _write(out: Path, table: str, *, split: str, clips: int, sha256: str) -> None:
    from last_edge.files import write_text

    command = shlex.join(["last-edge", *sys.argv[1:]])
    facts = f"Top-1 in percent on {clips} {split} clips, store sha256 {sha256[:12]}. Made by `{command}`."
    write_text(out, f"{table}\n{facts}\n")
