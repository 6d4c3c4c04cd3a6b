"""`last-edge run` and `last-edge models fetch`: recognition on the device, and the landmark models it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from last_edge.runtime.results import Event
    from last_edge.runtime.run import RunOptions, RunSummary

Precision = Literal["fp32", "int8"]
Landmarks = Literal["auto", "hand", "hand_lite", "pose", "holistic"]
Hand = Literal["first", "left", "right"]
LandmarkModel = Literal["hand", "hand_lite", "pose", "holistic", "all"]


def run(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder or .last file.")],
    source: Annotated[
        str,
        typer.Option(help="FILE.mp4, cam:0, replay:FILE.pose, store:FOLDER, store:FOLDER#CLIP or synthetic."),
    ],
    events: Annotated[Path | None, typer.Option(help="Write one JSON object a line to this file.")] = None,
    window: Annotated[bool, typer.Option("--window/--no-window", help="Show the frames; q ends.")] = False,
    save: Annotated[Path | None, typer.Option(help="Save the annotated video: .mp4, .avi, .mkv, .webm.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many frames.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Default: int8 where the bundle has it.")] = None,
    landmarks: Annotated[Landmarks, typer.Option(help="Detector; auto takes what the bundle needs.")] = "auto",
    hand: Annotated[Hand, typer.Option(help="Hand to follow; left and right are the person's own.")] = "first",
    window_seconds: Annotated[float, typer.Option(min=0.3, help="Length of the sliding window.")] = 2.0,
    stride_seconds: Annotated[float, typer.Option(min=0.0, help="Time between predictions.")] = 0.2,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Least probability of an event. Default: the bundle's.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no events while running.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Recognise gestures in a video, camera, replay or clip store.

    Example: last-edge run BUNDLE --source clip.mp4 --no-window --events events.jsonl --save out.mp4
    """
    from last_edge.runtime.decoding import DecodingOptions
    from last_edge.runtime.recognise import RecogniseOptions
    from last_edge.runtime.run import RunOptions

    recognise = RecogniseOptions(
        window_s=window_seconds, stride_s=stride_seconds, decoding=DecodingOptions(threshold=threshold)
    )
    options = RunOptions(
        events=events,
        save=save,
        window=window,
        limit=limit,
        precision=precision,
        detector=None if landmarks == "auto" else landmarks,
        hand=hand,
        threads=threads,
        force=force,
        recognise=recognise,
    )
    _run(bundle, source, options, as_json=as_json, quiet=quiet)


def _run(bundle: Path, source: str, options: RunOptions, *, as_json: bool, quiet: bool) -> None:
    from rich.console import Console

    from last_edge import records
    from last_edge.runtime.run import run as run_source

    log = Console(stderr=True)

    def show(event: Event) -> None:
        if not quiet:
            log.print(f"{event.end_s:8.2f} s  {event.label}  {event.probability:.0%}", highlight=False)

    summary = run_source(bundle, source, options=options, on_event=show)
    if as_json:
        typer.echo(json.dumps(records.to_dict(summary)))
    else:
        _print_summary(summary, options)


def _print_summary(summary: RunSummary, options: RunOptions) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "p50 ms", "p95 ms", "p99 ms", title=f"{summary.source} · {summary.precision}")
    for stage, timing in summary.timings_ms.items():
        table.add_row(stage, f"{timing.p50:.2f}", f"{timing.p95:.2f}", f"{timing.p99:.2f}")
    out = Console()
    out.print(table)
    seen = f"{summary.frames} frames, {summary.frames_with_points} with points, {summary.events} events"
    known = "" if summary.clips_right is None else f", {summary.clips_right} of {summary.clips} clips right"
    out.print(seen + known, highlight=False)
    for path in filter(None, (options.events, options.save)):
        out.print(f"→ {path}", highlight=False)


def fetch(
    name: Annotated[LandmarkModel, typer.Argument(help="Landmark model, or all.")],
    official: Annotated[bool, typer.Option("--official", help="Download from Google instead of from pip.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Fetch again even when it is there.")] = False,
) -> None:
    """Put a MediaPipe landmark model into the cache ($LAST_EDGE_CACHE, else ~/.cache/last-edge).

    It is assembled from the files in Google's mediapipe 0.10.21 wheel, which pip downloads; every byte is checked.

    Example: last-edge models fetch hand
    """
    from last_edge.runtime.landmarks import DETECTORS
    from last_edge.runtime.landmarks.models import fetch as fetch_model

    names = DETECTORS if name == "all" else (name,)
    paths = {each: str(fetch_model(each, official=official, force=force)) for each in names}
    if as_json:
        typer.echo(json.dumps(paths))
    elif not quiet:
        for each, path in paths.items():
            typer.echo(f"{each}: {path}")
