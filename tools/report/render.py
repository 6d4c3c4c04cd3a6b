"""One report in three forms with the same rows: JSON for programs, Markdown for a repository, HTML for people."""

import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from last_edge import __version__, records
from last_edge.bundle.manifest import translates
from last_edge.clips.store import ClipStore
from last_edge.errors import MissingError
from last_edge.tools.bench.record import BenchRecord
from last_edge.tools.report.collect import BundleResult, Collection, RunResult
from last_edge.tools.report.rows import Row, bundle_rows, make_rows, wilson

NOT_MEASURED = "not measured"
TEMPLATES = Path(__file__).parent / "templates"
PARITY = ("pair", "on", "n", "max_abs", "mean_abs", "agreement")
OF_SENTENCES, OF_CLASSES = ("BLEU-4", "WER %"), ("top-1 %", "95% interval", "top-3 %")
SAID_ONCE = ("model", "threads", "measured on", "clips")
COMPARED = ("A", "against B", "points of top-1", "95% interval", "McNemar's p", "clips", "verdict")
RULE_COLUMNS = ("rule", "figure", "verdict")
Report = dict[str, Any]


def make_report(
    found: Collection, *, title: str, environment: dict[str, Any], command: str = "", decisions: Sequence[Report] = ()
) -> Report:
    """The report as plain values, but for what `build` adds; the other forms are drawn from it.

    decisions: see `report.decisions`.
    """
    return {
        "schema_version": 2,
        "title": title,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "last_edge": __version__,
        "command": command,
        "environment": environment,
        "rows": [records.to_dict(row) for row in make_rows(found)],
        "runs": [_run(run) for run in found.runs],
        "bundles": [_bundle(result, found) for result in found.bundles],
        "decisions": list(decisions),
        "timed": [records.to_dict(record) for record in used_records(found)],
        "live": [records.to_dict(record) for record in found.live if not record.refused],
        **NOTHING,
    }


NOTHING: Report = {
    "asked": {}, "choices": [], "comparisons": [], "streams": [], "stores": {}, "files": {},
}  # fmt: skip
"""What a report holds that was not made of paths."""


def used_records(found: Collection) -> list[BenchRecord]:
    """The bench records that the rows show."""
    graphs = [result.sha256(precision) for result in found.bundles for precision in result.precisions]
    return [record for sha256 in dict.fromkeys(graphs) for record in found.bench.get(sha256, [])]


def to_markdown(report: Report) -> str:
    """The decision, the table, what differs, and where the figures come from."""
    table = table_of(report["rows"])
    lines = [f"# {report['title']}", "", *(line for text in decided(report) for line in (text, ""))]
    lines += records.markdown_table(table["header"], table["rows"])
    lines += ["", f"In all rows that were measured: {table['same']}."] if table["same"] else []
    if report["comparisons"]:
        lines += ["", "## Is one better?", ""]
        lines += records.markdown_table(COMPARED, map(compared_cells, report["comparisons"]))
    for row in report["streams"]:
        lines += ["", f"## Long recordings: {row['artefact']} {row['precision']}", ""]
        lines += [f"- {name.replace('_', ' ')}: {streamed(value)}" for name, value in row["figures"].items()]
    for section in report["decisions"]:
        lines += ["", f"## Decision rules: {section['about']}", ""]
        lines += records.markdown_table(
            RULE_COLUMNS, ([rule[name] for name in RULE_COLUMNS] for rule in section["rules"])
        )
    lines += [
        "",
        f"Made {report['made']} by `{report['command']}`." if report["command"] else f"Made {report['made']}.",
        "",
        *(f"- {name}: {value}" for name, value in facts(report["environment"]).items()),
    ]
    again = [line for part in ("accuracy", "latency", "comparisons", "streams") for line in commands(report)[part]]
    lines += ["", "The figures again:", "", "```sh", *again, "```", ""]
    return "\n".join(lines)


def decided(report: Report) -> list[str]:
    """The recommendation for each task in a sentence or two, and what it rests on."""
    texts = []
    for choice in report["choices"]:
        limits = [f"{choice[key]:g} {unit}" for key, unit in (("budget_ms", "ms"), ("budget_kb", "kB")) if choice[key]]
        text = f"{choice['task']}{', within ' + ' and '.join(limits) if limits else ''}: "
        if choice["recommended"] is None:
            texts.append(f"{text}none of {choice['candidates']} measured files is known to fit.")
            continue
        row = Row(**report["rows"][choice["recommended"] - 1])
        text += (
            f"take row {choice['recommended']}, {row.artefact} {row.precision}: {number(row.top1)} % top-1"
            f" ({interval(row)}), {number(row.p50_ms)} ms, {number(row.size_bytes, 0)} bytes."
        )
        if choice["within"] > 1 and choice["split"] == "test":
            text += f" The best of {choice['within']} by the test split itself, which flatters it a little."
        texts.append(text)
    return texts


def to_html(report: Report, found: Collection) -> str:
    """One self-contained page. Raises `MissingError` when jinja2 or matplotlib is absent."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        from last_edge.tools.report.plots import draw
    except ImportError as error:
        hint = "pip install 'last-edge[report]'"
        raise MissingError("reports need jinja2 and matplotlib", got=error, hint=hint) from error
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("report.html.j2")
    figures = draw(found, report)
    sections = {heading: drawings for heading, drawings in figures.items() if not drawings[0].folded}
    return page.render(
        report=report, table=table_of(report["rows"]), figures=sections,
        folded={heading: drawings for heading, drawings in figures.items() if drawings[0].folded},
        facts=facts(report["environment"]), missing=NOT_MEASURED, decisions=decided(report), commands=commands(report),
        compared=[compared_cells(row) for row in report["comparisons"]], compared_header=COMPARED,
        streamed=streamed,
    )  # fmt: skip


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or that it was not measured."""
    return NOT_MEASURED if value is None else f"{value:,.{digits}f}"


def interval(row: Row) -> str:
    """The 95% interval of top-1 as text."""
    span = wilson(row)
    return NOT_MEASURED if span is None else f"{span[0]:.1f}–{span[1]:.1f}"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "artefact": lambda row: row.artefact,
    "precision": lambda row: row.precision,
    "top-1 %": lambda row: number(row.top1),
    "95% interval": interval,
    "top-3 %": lambda row: number(row.top3),
    "BLEU-4": lambda row: number(row.bleu4),
    "WER %": lambda row: number(row.wer),
    "clips": lambda row: f"{row.n} {row.split}".strip() if row.n is not None else NOT_MEASURED,
    "p50 ms": lambda row: number(row.p50_ms),
    "p95 ms": lambda row: number(row.p95_ms),
    "p99 ms": lambda row: number(row.p99_ms),
    "bytes": lambda row: number(row.size_bytes, 0),
    "MB held": lambda row: number(row.rss_mb, 1),
    "parameters": lambda row: number(row.params, 0),
    "model": lambda row: row.model or NOT_MEASURED,
    "threads": lambda row: NOT_MEASURED if row.threads is None else str(row.threads),
    "measured on": lambda row: f"{row.device}, {row.backend}" if row.device else NOT_MEASURED,
}


def columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The columns of both tables: those of sentences where a row has such figures, of classes unless all have."""
    spoken = [row["bleu4"] is not None for row in rows]
    hidden = {*(() if any(spoken) else OF_SENTENCES), *(OF_CLASSES if rows and all(spoken) else ())}
    return [name for name in COLUMNS if name not in hidden]


def cells(row: dict[str, Any], header: Sequence[str]) -> list[str]:
    """A row as the texts of both tables."""
    own = Row(**row)
    return [COLUMNS[name](own) for name in header]


def facts(environment: dict[str, Any]) -> dict[str, str]:
    """The environment in a few lines."""
    packages = environment.get("packages", {})
    shown = {name: str(value) for name, value in environment.items() if name != "packages" and value is not None}
    return shown | {"packages": ", ".join(f"{name} {version}" for name, version in packages.items() if version)}


def table_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Header and rows, numbered from 1; what is the same in all rows stands under the table instead."""
    header = columns(rows)
    body = [cells(row, header) for row in rows]
    same = [
        place
        for place, name in enumerate(header)
        if len(body) > 1 and name in SAID_ONCE and len({row[place] for row in body} - {NOT_MEASURED}) == 1
    ]
    kept = [place for place in range(len(header)) if place not in same]
    return {
        "header": ["#", *(header[place] for place in kept)],
        "rows": [[str(number), *(row[place] for place in kept)] for number, row in enumerate(body, 1)],
        "same": ", ".join(
            f"{header[place]} {next(row[place] for row in body if row[place] != NOT_MEASURED)}" for place in same
        ),
    }


def streamed(value: float | None) -> str:
    """A figure of long recordings; there is no delay where nothing was found."""
    return "–" if value is None else str(value)


def compared_cells(row: dict[str, Any]) -> list[str]:
    """A comparison as the texts of both forms."""
    low, high = row["interval"]
    return [
        row["one"], row["other"], f"{row['difference']:+.2f}", f"{low:+.2f} to {high:+.2f}", f"{row['p']:g}",
        str(row["n"]), row["verdict"],
    ]  # fmt: skip


def comparison_page(rows: Sequence[dict[str, Any]], *, command: str, store: ClipStore) -> str:
    """The page of `compare --out FILE.md`: each pair, then the classes and people of each pair that differ."""
    right = [row.get("found") or row["top1"] for row in rows]
    texts = [
        [*compared_cells(row), *(f"{share:.2f}" for share in shares)] for row, shares in zip(rows, right, strict=True)
    ]
    header = (*COMPARED, "% of A", "% of B")
    lines = [
        "# Is one better?",
        "",
        f"```sh\n{command}\n```",
        "",
        f"Store `{store.path.name}`, sha256 {store.sha256[:12]}.",
        "",
    ]
    lines += records.markdown_table(header, texts)
    for row in rows:
        for kind, what in (("by_class", "class"), ("by_subject", "person")):
            lines += ["", f"## {row['one']} above {row['other']}, by {what}", ""]
            if not row[kind]:
                lines.append("None differs.")
                continue
            parts = ([name, f"{each['points']:+.1f}", each["wins"], each["losses"]] for name, each in row[kind].items())
            lines += records.markdown_table([what, "points", "A alone is right", "B alone is right"], parts)
    return "\n".join(lines) + "\n"


def _run(run: RunResult) -> Report:
    return {
        "path": str(run.path), "finished": bool(run.final), "epochs": len(run.history), "final": run.final,
        "history": list(run.history), "recipe": run.recipe, "environment": run.environment,
    }  # fmt: skip


def _bundle(result: BundleResult, found: Collection) -> Report:
    manifest = result.bundle.manifest
    return {
        "path": str(result.path), "name": manifest.name, "labels": list(manifest.labels),
        "translates": translates(manifest),
        "input": f"{manifest.input.layout.name} {manifest.input.shape}, {manifest.units}", "licence": manifest.licence,
        "provenance": records.to_dict(manifest.provenance), "parity": _parity(manifest.parity),
        "calibration": {**manifest.calibration, "clips": len(manifest.calibration_ids)},
        "manifest_metrics": {name: dict(figures) for name, figures in manifest.metrics.items()},
        "measured": result.measured, "gain": int8_gain(result, found),
    }  # fmt: skip


def _parity(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the same columns, empty where one has no such figure."""
    names = [name for name in PARITY if any(name in row for row in rows)]
    return [{name: row.get(name, "") for name in names} for row in rows]


def int8_gain(result: BundleResult, found: Collection) -> dict[str, float] | None:
    """INT8 against FP32: points of top-1 or BLEU-4, times smaller and faster; what cannot be compared is left out."""
    if not {"fp32", "int8"} <= set(result.precisions):
        return None
    fp32, int8 = (
        bundle_rows(result, precision, found.bench.get(result.sha256(precision), []))[0]
        for precision in ("fp32", "int8")
    )
    gain = {"smaller": round(result.size("fp32") / result.size("int8"), 2)}
    if fp32.top1 is not None and int8.top1 is not None and (fp32.n, fp32.split) == (int8.n, int8.split):
        gain["top1_points"] = round(int8.top1 - fp32.top1, 2)
    if fp32.bleu4 is not None and int8.bleu4 is not None and (fp32.n, fp32.split) == (int8.n, int8.split):
        gain["bleu4_points"] = round(int8.bleu4 - fp32.bleu4, 2)
    if fp32.p50_ms and int8.p50_ms and (fp32.device, fp32.threads) == (int8.device, int8.threads):
        gain["faster"] = round(fp32.p50_ms / int8.p50_ms, 2)
    return gain


def commands(report: Report) -> dict[str, list[str]]:
    """Commands by the section that they measure again; a store that was not named is STORE."""
    bundles = [bundle["path"] for bundle in report["bundles"]]
    runs = [run["path"] for run in report["runs"]]
    stores = list(report["stores"]) or ["STORE"]
    precisions = [(row["artefact"], row["precision"]) for row in report["rows"] if row["kind"] == "bundle"]
    evaluations = [
        *(line("eval", path, "--store", stores[0], "--precision", precision)
          for path, precision in dict.fromkeys(precisions)),
        *(line("eval", path, "--store", stores[0]) for path in runs),
    ]  # fmt: skip
    asked = report["asked"] or {"threads": 1, "gestures": 0}
    return {
        "decision": [report["command"] or line("report", *bundles, *runs, "--out", "report.html")],
        "accuracy": evaluations,
        "latency": [line("bench", *bundles, "--threads", str(asked["threads"]))] if bundles else [],
        "comparisons": [
            line("compare", row["one"], row["other"], "--store", stores[0]) for row in report["comparisons"]
        ],
        "streams": [
            line("eval", row["artefact"], "--store", stores[0], "--stream", "--precision", row["precision"],
                 *(("--gestures", str(asked["gestures"])) if row["composed"] else ())) for row in report["streams"]
        ],
        "live": list(dict.fromkeys(row["command"] for row in report["live"] if row["command"])),
        "training": [
            line("train", "--store", stores[0], "--recipe", f"{path}/recipe.yaml", "--out", "AGAIN") for path in runs
        ],
        "verify": ["last-edge verify REPORT.json"],
    }  # fmt: skip


def line(name: str, *words: str) -> str:
    """A command as one types it."""
    return shlex.join(["last-edge", name, *words])
