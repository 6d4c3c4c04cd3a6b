"""`last-edge parity`: torch, FP32 and INT8; every backend; two forms of one graph, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit, make_table, markdown

if TYPE_CHECKING:
    from last_edge.clips.store import ClipStore
    from last_edge.export.proof.layers import Comparison
    from last_edge.export.proof.matrix import ParityCell

BundlePath = Annotated[Path | None, typer.Argument(help="A bundle folder or .last file.", show_default=False)]
MeasureOn = Annotated[Path | None, typer.Option("--store", help="A clip store to measure on.")]
RunPath = Annotated[Path | None, typer.Option("--run", help="Its run, to compare torch on the store too.")]
Split = Annotated[str, typer.Option("--split", help="Split to measure on.")]
Names = Annotated[
    list[str] | None, typer.Option("--backends", help="all, or a backend; repeatable. `last-edge doctor` lists them.")
]
Layers = Annotated[
    tuple[str, str] | None,
    typer.Option("--layers", metavar="A B", help="Two of FILE.onnx, fp32, int8, a backend, or WHAT@BACKEND."),
]
Most = Annotated[
    float | None,
    typer.Option("--most", min=0.0, help="With --layers: relative difference to allow. Else 0.001, INT8 0.25."),
]
Written = Annotated[Path | None, typer.Option("--out", help="Also write the table: .md or .json.")]


def parity(
    bundle: BundlePath = None,
    store: MeasureOn = None,
    run: RunPath = None,
    backends: Names = None,
    layers: Layers = None,
    most: Most = None,
    split: Split = "test",
    threads: options.Threads = 1,
    out: Written = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Compare torch, FP32 and INT8: largest difference of logits and share of equal answers. Fails with exit code 4.

    With --backends every backend runs every precision; FP32 may be 0.0001 off its reference. With --layers two forms of
    a graph are compared node by node, and the first node where they part is named.

    Example: last-edge parity runs/shrec14/bundle --store runs/shrec14/store --backends all --out parity.md
    """
    from last_edge.errors import UsageError

    _check_out(out, force=force)
    if layers is not None:
        _layers(bundle, layers, most, out, json=json)
        return
    if bundle is None:
        raise UsageError("name a bundle", hint="last-edge parity BUNDLE")
    opened = _open(store)
    if run is not None and threads:
        import torch

        torch.set_num_threads(threads)
    if backends:
        _matrix(bundle, backends, opened, run=run, split=split, threads=threads, out=out, json=json)
        return
    from last_edge.export.proof.parity import bundle_parity, check_rows

    rows = bundle_parity(bundle, store=opened, run=run, split=split, threads=threads)
    _show(rows, title=f"parity of {bundle.name}", out=out, json=json)
    check_rows(rows, where=bundle)


def _matrix(
    bundle: Path, backends: Sequence[str], store: ClipStore | None, *, run: Path | None, split: str, threads: int,
    out: Path | None, json: bool,
) -> None:  # fmt: skip
    from last_edge.export.proof.matrix import check_cells, parity_matrix

    cells = parity_matrix(bundle, backends, store=store, run=run, split=split, threads=max(threads, 1))
    _show([_cell_row(cell) for cell in cells], title=f"parity of {bundle.name}", out=out, json=json)
    check_cells(cells, where=bundle)


def _cell_row(cell: ParityCell) -> dict[str, Any]:
    """A cell with its verdict last."""
    from last_edge import records

    row = records.to_dict(cell)
    del row["schema_version"]
    return {**{name: value for name, value in row.items() if name not in ("holds", "note")},
            "holds": cell.holds, "note": cell.note}  # fmt: skip


def _layers(bundle: Path | None, sides: tuple[str, str], most: float | None, out: Path | None, *, json: bool) -> None:
    from last_edge.bundle import Bundle
    from last_edge.export.proof.layers import compare_layers, read_sides, require_equal

    opened = None if bundle is None else Bundle.open(bundle)
    first, second = read_sides(sides, opened)
    inputs = None if opened is None else opened.golden.inputs
    found = compare_layers(first, second, inputs, most=most)
    _show(_gap_rows(found), title=f"{found.first} and {found.second}", out=out, json=json)
    require_equal(found)


def _gap_rows(found: Comparison) -> list[dict[str, Any]]:
    from last_edge import records

    rows = [records.to_dict(gap) for gap in found.gaps]
    return [{**row, "shape": "×".join(map(str, row["shape"]))} for row in rows]


def _open(store: Path | None) -> ClipStore | None:
    if store is None:
        return None
    from last_edge.clips.store import ClipStore

    return ClipStore.open(store)


def _check_out(out: Path | None, *, force: bool) -> None:
    from last_edge.errors import UsageError
    from last_edge.files import check_free

    if out is None:
        return
    if out.suffix not in (".md", ".json"):
        raise UsageError("unknown kind of table", where=out, expected=".md or .json")
    check_free(out, force=force)


def _show(rows: Sequence[dict[str, Any]], *, title: str, out: Path | None, json: bool) -> None:
    """The rows as a table or JSON, and to a file."""
    import json as library

    from last_edge.files import write_text

    columns = _columns(rows)
    if out is not None:
        as_json = library.dumps({"rows": list(rows)}, indent=2, ensure_ascii=False) + "\n"
        write_text(out, as_json if out.suffix == ".json" else f"# {title}\n\n{markdown(columns)}")
    emit({"rows": list(rows)}, as_json=json, table=lambda: make_table(title, columns))


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [_text(name, row.get(name)) for row in rows] for name in names}


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        said = {"holds": ("ok", "FAILED"), "parts": ("PARTS", "")}[name]
        return said[0] if value else said[1]
    if value is None:
        return ""
    return f"{value:.3g}" if name.endswith("_abs") or name == "relative" else str(value)
