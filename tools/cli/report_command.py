"""`last-edge report`: runs and bundles side by side, as HTML, Markdown and JSON."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit, stderr

if TYPE_CHECKING:
    from last_edge.tools.report.collect import Collection

Paths = Annotated[list[Path], typer.Argument(help="Runs, bundles, or folders that hold them.")]
Stores = Annotated[list[Path] | None, typer.Option("--store", help="Measure exported files on it; repeatable.")]
Ablations = Annotated[
    list[Path] | None,
    typer.Option("--ablation", help="An ablation.json: hold the decision rules against it; repeatable."),
]
Bench = Annotated[bool, typer.Option("--bench/--no-bench", help="Time exported files that have no bench record.")]


def report(
    runs: Paths,
    out: Annotated[Path, typer.Option("--out", help="The HTML page; .md and .json are put beside it.")],
    store: Stores = None,
    bench: Bench = True,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the model while timing.")] = 1,
    ablation: Ablations = None,
    title: Annotated[str, typer.Option("--title", help="Heading of the report.")] = "LAST-Edge report",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Put accuracy, latency and size of every artefact side by side, with training curves and confusion.

    Rows of FP32 and INT8 come from the exported files: accuracy from the bundle's manifest or, with --store, measured
    now; latency from the bench.json beside them or measured now. What nobody measured is shown as such.

    Example: last-edge report runs/demo --store runs/demo/store --out runs/demo/report.html
    """
    from last_edge.tools.report.collect import collect
    from last_edge.tools.report.decisions import decisions
    from last_edge.tools.report.render import make_report

    files = _outputs(out, force=force)
    found = _measured(collect(runs), stores=store or [], bench=bench, threads=threads)
    rules, about = [decisions(path) for path in ablation or ()], _environment()
    content = make_report(found, title=title, environment=about, command=_command(), decisions=rules)
    _write(files, content, found)
    if json:
        emit(content, as_json=True)
        return
    if not quiet:
        stderr().print(f"{len(content['rows'])} rows, {len(found.runs)} runs, {len(found.bundles)} bundles")
    typer.echo(out)


def _outputs(out: Path, *, force: bool) -> dict[str, Path]:
    from last_edge.files import check_free

    base = out.with_suffix("") if out.suffix == ".html" else out
    files = {ending: base.with_name(f"{base.name}.{ending}") for ending in ("html", "md", "json")}
    files["html"] = out
    for path in files.values():
        check_free(path, force=force)
    return files


def _measured(found: Collection, *, stores: list[Path], bench: bool, threads: int) -> Collection:
    from last_edge.tools.report.measure import with_accuracy, with_latency

    found = with_accuracy(found, stores) if stores else found
    return with_latency(found, threads=threads) if bench else found


def _write(files: dict[str, Path], content: dict[str, Any], found: Collection) -> None:
    from last_edge.files import write_text
    from last_edge.tools.report.render import to_html, to_json, to_markdown

    texts = {"html": to_html(content, found), "md": to_markdown(content), "json": to_json(content)}
    for ending, text in texts.items():
        write_text(files[ending], text)


def _environment() -> dict[str, Any]:
    from last_edge.train.environment import describe_environment

    return describe_environment()


def _command() -> str:
    """The command line that makes this report, as one can type it again."""
    return shlex.join(["last-edge", *sys.argv[1:]]) if sys.argv[1:2] == ["report"] else ""
