"""`last-edge parity | verify`: torch, FP32 and INT8, every backend, node by node; proof of what a bundle says."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from last_edge import records
from last_edge.errors import UsageError
from last_edge.files import write_text
from last_edge.tools.cli import options as opt
from last_edge.tools.output import markdown, rows_table

Names = Annotated[list[str] | None, Option("--backends", help="all, or a backend; repeatable. See `last-edge doctor`.")]
Layers = Annotated[
    tuple[str, str] | None,
    Option("--layers", metavar="A B", help="Two of FILE.onnx, fp32, int8, a backend, or WHAT@BACKEND."),
]


def parity(
    bundle: Annotated[
        Path | None,
        Argument(
            metavar="BUNDLE",
            callback=opt.in_zoo,
            help="A bundle folder, .last file or name of the zoo.",
            show_default=False,
        ),
    ] = None,
    store: opt.MeasureOn = None,
    run: Annotated[Path | None, Option(help="Its run, to compare torch on the store too.")] = None,
    backends: Names = None,
    layers: Layers = None,
    most: Annotated[
        float | None, Option(min=0.0, help="With --layers: relative difference to allow. Else 0.001, INT8 0.25.")
    ] = None,
    split: opt.Split = "test",
    threads: opt.Threads = 1,
    out: opt.OutFile = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Compare torch, FP32 and INT8: largest difference of logits and share of equal answers. Fails with exit code 4.

    With --backends every backend named runs every precision; FP32 may be 0.0001 off its reference. With --layers two
    forms of a graph are compared node by node, and the first node where they part is named.

    Example: last-edge parity runs/shrec14/bundle --store runs/shrec14/store --backends all --out parity.md
    """
    from last_edge.bundle import Bundle

    opt.check_out(out, force=force, kinds=(".md", ".json"))
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
    title, clips = f"parity of {bundle.name}", opt.open_store(store)
    if run is not None:
        opt.torch_threads(threads)
    if backends:
        from last_edge.export.proof.parity import check_cells, parity_matrix

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
    check_rows(pairs, Bundle.open(bundle).manifest.calibration, where=bundle)


def show(rows: Sequence[dict[str, Any]], *, title: str, out: Path | None, screen: opt.Screen) -> None:
    """The rows as a table or JSON, and to a file."""
    if out is not None:
        page = f"# {title}\n\n{markdown(rows_table(title, rows).columns)}"
        write_text(out, records.as_json({"rows": list(rows)}) if out.suffix == ".json" else page)
    screen.rows(rows, title=title)


def verify(
    artefact: Annotated[
        Path, Argument(metavar="PATH", callback=opt.in_zoo, help="A bundle, a name of the zoo, REPORT.json or a store.")
    ],
    store: Annotated[list[Path] | None, Option(help="A clip store to measure on; of a report repeatable.")] = None,
    threads: opt.Threads = 1,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Rebuild every figure of a bundle or a report from its files and data. Exit code 0, or 4 when one differs.

    Bundle: hashes, golden tensors, card, parameter count, and with --store every accuracy and parity figure. Report:
    every file it was made of, every figure made again (0.1 points apart at most), no choice made on the test split.
    Store: its bytes, and whether people, recordings or changed copies of them are in two splits.

    Example: last-edge verify runs/shrec14/report.json --store runs/shrec14/store
    """
    from last_edge.clips.store import HEADER, ClipStore
    from last_edge.export.proof.verify import require, verify_bundle

    stores = store or []
    with screen.status(f"verifying {artefact.name}"):
        if artefact.suffix == ".json" and artefact.is_file():
            from last_edge.tools.report.verify import verify_report

            opt.torch_threads(threads)
            checks = verify_report(artefact, stores)
        elif (artefact / HEADER).is_file():
            from last_edge.tools.report.verify import verify_data

            checks = verify_data(ClipStore.open(artefact))
        else:
            if len(stores) > 1:
                raise UsageError("a bundle is verified on one store", got=", ".join(map(str, stores)))
            checks = verify_bundle(artefact, opt.open_store(stores[0] if stores else None), threads=threads)
    screen.rows([dataclasses.asdict(check) for check in checks], title=f"{artefact.name}: {len(checks)} checks")
    require(checks, where=artefact)
