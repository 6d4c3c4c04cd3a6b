"""`last-edge run`: recognition on the device, by hand or as a service from the start of the machine on."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from last_edge import records
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.files import check_free, write_text
from last_edge.tools.cli import options as opt
from last_edge.tools.output import make_table

if TYPE_CHECKING:
    from last_edge.runtime.pipeline.run import RunSummary
    from last_edge.runtime.recognise.decoding import Event

STDOUT = Path("-")
Events = Annotated[
    Path | None,
    Option(
        "--events",
        help="One JSON object a line for every frame and event into this file; `-`: events alone, to stdout.",
    ),
]
KeyMap = Annotated[
    Path | None, Option("--keys", metavar="MAP.yaml", help="Keys for events: lines as `wave: ctrl+right`.")
]
Window = Annotated[
    bool | None,
    Option("--window/--no-window", help="Show the frames; h lists the keys. Default: if there is a screen."),
]
Save = Annotated[Path | None, Option("--save", help="Save the annotated video: .mp4, .avi, .mkv, .mov or .webm.")]
Picture = Annotated[Path | None, Option("--snapshot", help="Save the surest frame: .jpg or .png.")]
PaceName = Annotated[
    Literal["fast", "real"],
    Option("--pace", help="fast: every frame of a file, as fast as it goes. real: at its own rate, as if live."),
]
Loop = Annotated[bool, Option("--loop", help="Play a file, replay or store again and again, until --limit or q.")]
Keep = Annotated[Path, Option("--keep", help="Folder of what the window's keys s (picture) and c (clip) save.")]
Limit = Annotated[int | None, Option("--limit", min=1, help="Stop after this many frames.")]
MaxAge = Annotated[
    float | None,
    Option("--max-age", min=0.0, help="Live: drop frames older than this, in seconds, where a newer one waits."),
]
WindowSeconds = Annotated[float, Option("--window-seconds", min=0.3, help="Length of the sliding window.")]
StrideSeconds = Annotated[float, Option("--stride-seconds", min=0.0, help="Time between predictions.")]
Smoothing = Annotated[float, Option("--smoothing", min=0.01, max=1.0, help="Sliding: the newest prediction's weight.")]
Patience = Annotated[int, Option("--patience", min=1, help="Sliding: predictions in a row that must agree.")]
Debounce = Annotated[float, Option("--debounce", min=0.0, help="Sliding: least seconds between equal events.")]
MotionSpeed = Annotated[
    float, Option("--motion-speed", min=0.01, help="Segments: limb lengths a second from which the body moves.")
]
Threshold = Annotated[
    float | None, Option("--threshold", min=0.0, max=1.0, help="Least probability of an event. Default: the bundle's.")
]
ModelThreads = Annotated[
    int | None, Option("--threads", min=1, help="Of the model. Default: the bundle's (`bench tune`), else 1.")
]
BackendName = Annotated[str, Option("--backend", help="What runs the model; `last-edge doctor` lists them.")]

Phases = Annotated[
    bool, Option("--phases", help="Tell each gesture's beginning, twice a second that it lasts, and its end.")
]


def run(
    bundle: opt.BundlePath,
    source: opt.SourceName = "cam:0",
    events: Events = None,
    send: opt.Send = None,
    on: opt.On = None,
    keys: KeyMap = None,
    window: Window = None,
    save: Save = None,
    snapshot: Picture = None,
    keep: Keep = Path(),
    limit: Limit = None,
    max_age: MaxAge = None,
    pace: PaceName = "fast",
    loop: Loop = False,
    precision: opt.Graph = None,
    seeing: opt.Seeing = opt.SEEING,
    window_seconds: WindowSeconds = 2.5,
    stride_seconds: StrideSeconds = 0.2,
    decode: opt.Decode = "sliding",
    smoothing: Smoothing = 0.5,
    patience: Patience = 2,
    debounce: Debounce = 1.0,
    motion_speed: MotionSpeed = 0.6,
    rest_seconds: opt.RestSeconds = 1.5,
    reject: opt.Reject = True,
    false_alarms_per_hour: opt.FalsePerHour = None,
    early: opt.Early = False,
    phases: Phases = False,
    threshold: Threshold = None,
    threads: ModelThreads = None,
    backend: BackendName = "onnxruntime-cpu",
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Recognise gestures in a video, a camera, an address, a replay or a clip store.

    A lost camera is tried again after growing pauses; if it stays away, files are complete and the exit code is 5.

    Example: last-edge run BUNDLE --source clip.mp4 --no-window --events events.jsonl --save out.mp4
    """
    from last_edge.bundle import Bundle
    from last_edge.runtime.actions.deliver import Delivery, command_of, destination_of, facts_of
    from last_edge.runtime.pipeline.run import RunOptions
    from last_edge.runtime.pipeline.run import run as run_source
    from last_edge.runtime.recognise.decoding import DecodingOptions
    from last_edge.runtime.recognise.stream import RecogniseOptions
    from last_edge.runtime.recognise.window import SegmentOptions
    from last_edge.runtime.view.window import has_screen

    alone = events == STDOUT
    options = RunOptions(
        events=None if alone else events,
        save=save,
        snapshot=snapshot,
        window=has_screen() if window is None else window,
        keep=keep,
        limit=limit,
        pace=pace,
        loop=loop,
        precision=precision,
        max_age_s=max_age,
        threads=threads,
        backend=backend,
        force=force,
        **seeing.chosen(),
        recognise=RecogniseOptions(
            decode=decode,
            reject=reject,
            early=early,
            phases=phases,
            false_per_hour=false_alarms_per_hour,
            window_s=window_seconds,
            stride_s=stride_seconds,
            decoding=DecodingOptions(smoothing, threshold, confirm=patience, cooldown_s=debounce),
            segments=SegmentOptions(speed=motion_speed, rest_s=rest_seconds),
        ),
    )

    def on_notice(text: str) -> None:
        screen.note(f"note: {text}")

    def on_event(event: Event) -> None:
        screen.note(f"{event.end_s:8.2f} s  {event.label}  {event.phase or f'{event.probability:.0%}'}")
        if alone:
            typer.echo(json.dumps(facts_of(event), ensure_ascii=False))
        deliver(event)

    if alone and screen.json:
        raise UsageError("--events - and --json both want stdout", hint="one of them")
    labels = Bundle.open(bundle).manifest.labels if on or keys else ()
    destinations = [*map(destination_of, send or ()), *(command_of(text, labels) for text in on or ())]
    if keys is not None:
        from last_edge.runtime.actions.keys import Keys

        destinations.append(Keys(keys, labels))
    with Delivery(destinations, notice=on_notice) as deliver:
        summary = run_source(bundle, source, options=options, on_event=on_event, on_notice=on_notice)
    if not alone:
        screen.emit(records.to_dict(summary), table=lambda: stage_table(summary))
    if summary.lost:
        raise MissingError("the source is lost; what came of it is kept", where=summary.source, got=summary.lost)


def stage_table(summary: RunSummary) -> Any:
    """The summary for people: what was seen, the time of each stage, what waited and was dropped ahead of it."""
    timings = summary.timings_ms
    clips = "" if summary.clips_right is None else f", {summary.clips_right} of {summary.clips} clips right"
    seen = f"{summary.frames} frames, {summary.frames_with_points} with points, {summary.events} events{clips}"
    columns: dict[str, list[object]] = {"stage": list(timings)}
    for figure in ("p50", "p95", "p99"):
        columns[f"{figure} ms"] = [f"{getattr(timing, figure):.2f}" for timing in timings.values()]
    columns["most waiting"] = [summary.queues.get(stage, "") for stage in timings]
    columns["dropped"] = [summary.dropped.get(stage, "") for stage in timings]
    return make_table(f"{summary.source}, {summary.precision}: {seen}", columns)


RunOptionsAfter = Annotated[
    list[str] | None, Argument(metavar="-- OPTIONS", help="Further options of `last-edge run`, after --.")
]
ServiceName = Annotated[str, Option("--name", help="Of the service.")]


def service_install(
    bundle: opt.BundlePath,
    source: opt.SourceName = "cam:0",
    more: RunOptionsAfter = None,
    name: ServiceName = "last-edge",
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Write a systemd unit of this user that runs a bundle, and tell what starts it; no root is needed.

    systemd starts it again when it ends and when no frame came through for 30 seconds; events and notes go to the
    journal, one JSON object an event.

    Example: last-edge service install last_lite_nano_shrec14 --source cam:0,vga -- --landmarks-every 2
    """
    from last_edge.runtime.service import complaints, next_commands, unit_of

    unit = unit_of(bundle, source, name=name, more=more or ())
    if dry_run:
        typer.echo(unit.text(), nl=False)
        return
    check_free(unit.path, force=force)
    unit.path.parent.mkdir(parents=True, exist_ok=True)
    write_text(unit.path, unit.text())
    with TemporaryDirectory() as folder:
        for text in complaints(unit, Path(folder)):
            screen.note(f"systemd-analyze: {text}")
    screen.emit({"unit": str(unit.path), "next": next_commands(unit)})


def service_remove(name: ServiceName = "last-edge", screen: opt.Screen = opt.SCREEN) -> None:
    """Delete the unit that `service install` has written.

    Example: last-edge service remove --name last-edge
    """
    from last_edge.runtime.service import Unit

    path: Path = Unit(name, (), "").path
    if not path.is_file():
        raise InputError("no service of this name", where=path, hint="last-edge service install BUNDLE")
    path.unlink()
    screen.emit({"removed": str(path), "next": [f"systemctl --user disable --now {name}"]})
