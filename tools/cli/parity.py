"""`last-edge parity | verify`: torch, FP32 and INT8, every backend, node by node; proof of what a bundle says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli.options import (
    SCREEN,
    BundlePath,
    Force,
    MeasureOn,
    OutFile,
    Screen,
    Split,
    Threads,
    check_out,
    in_zoo,
    open_store,
    torch_threads,
)
from last_edge.tools.output import markdown, rows_table

Names = Annotated[
    list[str] | None, typer.Option("--backends", help="all, or a backend; repeatable. `last-edge doctor` lists them.")
]
Layers = Annotated[
    tuple[str, str] | None,
    typer.Option("--layers", metavar="A B", help="Two of FILE.onnx, fp32, int8, a backend, or WHAT@BACKEND."),
]


def parity(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            callback=in_zoo,
            help="A bundle folder, .last file or name of the zoo.",
            show_default=False,
        ),
    ] = None,
    store: MeasureOn = None,
    run: Annotated[Path | None, typer.Option("--run", help="Its run, to compare torch on the store too.")] = None,
    backends: Names = None,
    layers: Layers = None,
    most: Annotated[
        float | None,
        typer.Option("--most", min=0.0, help="With --layers: relative difference to allow. Else 0.001, INT8 0.25."),
    ] = None,
    split: Split = "test",
    threads: Threads = 1,
    out: OutFile = None,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Compare torch, FP32 and INT8: largest difference of logits and share of equal answers. Fails with exit code 4.

    With --backends every backend named runs every precision; FP32 may be 0.0001 off its reference. With --layers two
    forms of a graph are compared node by node, and the first node where they part is named.

    Example: last-edge parity runs/shrec14/bundle --store runs/shrec14/store --backends all --out parity.md
    """
    from last_edge import records
    from last_edge.bundle import Bundle

    check_out(out, force=force, kinds=(".md", ".json"))
    if layers is not None:
        from last_edge.export.proof.layers import compare_layers, read_sides, require_equal

        opened = None if bundle is None else Bundle.open(bundle)
        first, second = read_sides(layers, opened)
        found = compare_layers(first, second, None if opened is None else opened.golden.inputs, most=most)
        gaps = [records.to_dict(gap) for gap in found.gaps]
        rows = [{**gap, "shape": "×".join(map(str, gap["shape"]))} for gap in gaps]
        show(rows, title=f"{found.first} and {found.second}", out=out, screen=screen)
        require_equal(found)
        return
    if bundle is None:
        raise UsageError("name a bundle", hint="last-edge parity BUNDLE")
    title, clips = f"parity of {bundle.name}", open_store(store)
    if run is not None:
        torch_threads(threads)
    if backends:
        from last_edge.export.proof.matrix import check_cells, parity_matrix

        cells = parity_matrix(bundle, backends, store=clips, run=run, split=split, threads=max(threads, 1))
        found_rows = [records.to_dict(cell) for cell in cells]
        last = ("holds", "note")
        show(
            [{name: row[name] for name in (*(key for key in row if key not in (*last, "schema_version")), *last)}
             for row in found_rows], title=title, out=out, screen=screen,
        )  # fmt: skip
        check_cells(cells, where=bundle)
        return
    from last_edge.export.proof.parity import bundle_parity, check_rows

    pairs = bundle_parity(bundle, store=clips, run=run, split=split, threads=threads)
    show(pairs, title=title, out=out, screen=screen)
    check_rows(pairs, where=bundle)


def show(rows: Sequence[dict[str, Any]], *, title: str, out: Path | None, screen: Screen) -> None:
    """The rows as a table or JSON, and to a file."""
    import json

    from last_edge.files import write_text

    if out is not None:
        as_json = json.dumps({"rows": list(rows)}, indent=2, ensure_ascii=False) + "\n"
        page = f"# {title}\n\n{markdown(rows_table(title, rows).columns)}"
        write_text(out, as_json if out.suffix == ".json" else page)
    screen.rows(rows, title=title)


def verify(bundle: BundlePath, store: MeasureOn = None, threads: Threads = 1, screen: Screen = SCREEN) -> None:
    """Check hashes, golden tensors, card and parameter count, and with --store every accuracy and parity figure.

    Exit code 0, or 4 when one differs.

    Example: last-edge verify runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.export.proof.verify import require, verify_bundle

    checks = verify_bundle(bundle, open_store(store), threads=threads)
    screen.rows([dataclasses.asdict(check) for check in checks], title=f"{bundle.name}: {len(checks)} checks")
    require(checks, where=bundle)
