"""`last-edge report`: runs and bundles side by side, as HTML, Markdown and JSON."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from last_edge import records
from last_edge.errors import UsageError
from last_edge.files import write_text
from last_edge.names import some
from last_edge.tools.cli.options import SCREEN, Force, Screen, check_out, command_line, in_zoo

Paths = Annotated[list[Path], Argument(callback=in_zoo, help="Runs, bundles, or folders that hold them.")]
Stores = Annotated[list[Path] | None, Option("--store", help="Measure exported files on it; repeatable.")]
Ablations = Annotated[
    list[Path] | None, Option("--ablation", help="An ablation.json: hold the decision rules against it; repeatable.")
]
StoreFolder = Annotated[Path, Option("--store", help="Where both are measured.")]
SHOWN = 6
Bench = Annotated[bool, Option("--bench/--no-bench", help="Time exported files that have no bench record.")]


def compare(
    one: Annotated[str, Argument(metavar="A", help="A run, a bundle or a name of the zoo; BUNDLE:int8.")],
    others: Annotated[list[str], Argument(metavar="B…", help="What it is compared with, each by itself.")],
    store: StoreFolder,
    split: Annotated[str, Option(help="train, val or test.")] = "test",
    out: Annotated[Path | None, Option(help="Also a .md page or a .json file.")] = None,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Say whether A is better than B on a store, clip by clip: difference, interval, p, and where they differ.

    The interval is the paired bootstrap's over clips, p McNemar's exact one; both must agree before a difference is
    called shown. The labels of both are matched with the store's by name. Of networks for streams the gestures of a
    store's recordings that are found stand in the place of clips.

    Example: last-edge compare runs/shrec14/bundle:int8 runs/shrec14/bundle --store runs/shrec14/store
    """

    from last_edge.clips.store import ClipStore
    from last_edge.tools.experiments.compare import answered, compared
    from last_edge.tools.report.render import comparison_page

    check_out(out, force=force, kinds=(".md", ".json"))
    opened = ClipStore.open(store)
    first = answered(one, opened, split=split)
    rows = [compared(first, answered(name, opened, split=split)) for name in others]
    whole = rows[0] if len(rows) == 1 else {"comparisons": rows}
    if out is not None:
        page = comparison_page(rows, command=command_line("compare"), store=opened)
        write_text(out, page if out.suffix == ".md" else records.as_json(whole))
    screen.emit(whole if screen.json else {key: text for row in rows for key, text in lines_of(row).items()})


def lines_of(row: dict[str, Any]) -> dict[str, str]:
    """A comparison in five lines."""
    low, high = row["interval"]
    streams, right = "found" in row, row.get("found") or row["top1"]
    false = [f" found, {rate:g} false an hour" for rate in row["false_per_hour"]] if streams else ["", ""]
    line = f"{row['difference']:+.2f} points ({low:+.2f} to {high:+.2f}), p {row['p']:g}"
    above = f"above {row['other']}"
    return {
        row["one"]: f"{right[0]:.2f} %{false[0]}",
        row["other"]: f"{right[1]:.2f} %{false[1]}",
        f"difference {above}": f"{line}, {row['n']} {'gestures' if streams else 'clips'}: {row['verdict']}",
        f"classes {above}": differing(row["by_class"]),
        f"people {above}": differing(row["by_subject"]),
    }


def differing(rows: dict[str, dict[str, float]]) -> str:
    """Those that differ the most, in points."""
    return some((f"{name} {row['points']:+.1f}" for name, row in rows.items()), SHOWN) or "none differs"


def report(
    runs: Paths,
    out: Annotated[Path, Option(help="The HTML page; .md and .json are put beside it.")],
    store: Stores = None,
    budget_ms: Annotated[float | None, Option(min=0.0, help="Most milliseconds (p50) that the device affords.")] = None,
    budget_kb: Annotated[float | None, Option(min=0.0, help="Most kilobytes that the file may have.")] = None,
    streams: Annotated[int, Option(min=0, help="With --store: play so many test clips as streams; 0 for none.")] = 0,
    bench: Bench = True,
    threads: Annotated[int, Option(min=1, help="Threads of the model while timing.")] = 1,
    ablation: Ablations = None,
    title: Annotated[str, Option(help="Heading of the report.")] = "LAST-Edge report",
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Say which exported file to take for a budget, and put accuracy, latency and size of all side by side.

    Rows of FP32 and INT8 come from the exported files: accuracy from the bundle's manifest or, with --store, measured
    now; latency from the bench.json beside them or measured now. With --store also: files compared clip by clip, change
    per class and person, calibration. live.json of `bench live` beside them gives the stages from camera to label.
    What nobody measured is shown as such; `last-edge verify REPORT.json` rebuilds every figure.

    Example: last-edge report runs/demo --store runs/demo/store --budget-ms 1 --out runs/demo/report.html
    """
    from last_edge.tools.report.build import Asked, build, gather
    from last_edge.tools.report.render import to_html, to_markdown
    from last_edge.train.environment import describe_environment

    base = out.with_suffix("") if out.suffix == ".html" else out
    page, data = (base.with_name(f"{base.name}.{ending}") for ending in ("md", "json"))
    check_out(out, page, data, force=force)
    if streams and not store:
        raise UsageError("--streams plays clips of a store", hint="--store STORE")
    asked = Asked(
        tuple(map(str, runs)), tuple(map(str, store or ())), tuple(map(str, ablation or ())), bench, threads, streams,
        budget_ms, budget_kb,
    )  # fmt: skip
    with screen.status("measuring"):
        found = gather(asked)
        content = build(asked, found, title=title, environment=describe_environment(), command=command_line("report"))
    for path, text in ((out, to_html(content, found)), (page, to_markdown(content)), (data, records.as_json(content))):
        write_text(path, text)
    if screen.json:
        screen.emit(content)
        return
    screen.note(f"{len(content['rows'])} rows, {len(found.runs)} runs, {len(found.bundles)} bundles")
    typer.echo(out)
