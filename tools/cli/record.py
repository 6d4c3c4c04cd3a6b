"""`last-edge record` and `last-edge teach`: labelled clips of one's own gestures, and a bundle that knows them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from last_edge import records
from last_edge.errors import InputError, MissingError
from last_edge.tools.cli.options import SCREEN, SEEING, DryRun, Screen, Seeing
from last_edge.tools.output import make_table, rows_table

StoreFolder = Annotated[Path, typer.Argument(metavar="STORE", help="A clip store, new or to be added to.")]
Source = Annotated[
    str, typer.Option("--source", help="cam:0, cam:0,1280x720,30, FILE.mp4, replay:FILE.pose and the others of `run`.")
]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", help="What is signed; repeatable for a camera. Without one: only count what is there."),
]
Subject = Annotated[str, typer.Option("--subject", help="Who signs.")]
Split = Annotated[Literal["train", "val", "test"], typer.Option("--split", help="What the clips are for.")]
Seconds = Annotated[
    float | None,
    typer.Option("--seconds", min=0.3, help="Length of a take. Default: 2.5 of a camera, else whole recordings."),
]
CountDown = Annotated[
    float | None,
    typer.Option("--count-down", min=0.0, help="Seconds before each take. Default: 3 of a camera, else 0."),
]
Count = Annotated[
    int | None, typer.Option("--count", min=1, help="Takes of each label. Default: 10 of a camera, else all.")
]
LeastSeen = Annotated[
    float | None,
    typer.Option(
        "--least-seen",
        min=0.0,
        max=1.0,
        help="Share of a take's frames, from the first with a hand to the last, that must show it. Default: 0.5.",
    ),
]
Retake = Annotated[
    int, typer.Option("--retake", min=0, help="Newest clips of this label and subject that the new ones replace.")
]
Review = Annotated[
    bool, typer.Option("--review", help="Play the takes in a window; d takes one out. --label chooses some.")
]
Listing = Annotated[
    bool, typer.Option("--takes", help="List every take with its length and how much of it shows a hand.")
]
Undo = Annotated[
    int, typer.Option("--undo", min=0, help="Take this many of the newest takes out, of --label if named.")
]
ForBundle = Annotated[
    Path | None, typer.Option("--bundle", help="Record what this bundle takes, for `train --finetune BUNDLE`.")
]
Window = Annotated[
    bool | None, typer.Option("--window/--no-window", help="Default: for a camera, if there is a screen.")
]


def record(
    store: StoreFolder,
    source: Source = "cam:0",
    label: Label = None,
    subject: Subject = "me",
    split: Split = "train",
    seconds: Seconds = None,
    count_down: CountDown = None,
    count: Count = None,
    least_seen: LeastSeen = None,
    retake: Retake = 0,
    review: Review = False,
    takes: Listing = False,
    undo: Undo = 0,
    bundle: ForBundle = None,
    seeing: Seeing = SEEING,
    window: Window = None,
    screen: Screen = SCREEN,
) -> None:
    """Record labelled clips of your own signs from a camera, a video or a replay into a clip store.

    A camera counts down before each take; r in the window repeats it, u discards the last one, q ends. A take is cut
    to the span in which a hand is visible; one that shows too little says why and is recorded again, five times at
    most. Every take is on disk before the next begins, and the store is complete at any moment, also after a crash.
    Takes are added to those that are there; --takes lists them, --review plays them, --undo removes the newest.

    Example: last-edge record runs/mine/store --label hello --label thanks --subject anna
    """

    def on_notice(text: str) -> None:
        screen.note(f"note: {text}")

    if review or takes or undo:
        looked = look_at(store, tuple(label or ()), review=review, undo=undo, on_notice=on_notice)
        screen.emit(looked, table=lambda: rows_table(str(store), looked["takes"]))
        return
    if not label:
        facts = count_clips(store, on_notice)
        screen.emit(facts, table=lambda: clip_table(facts))
        return
    from last_edge.runtime.record.options import LEAST_SEEN, RecordOptions
    from last_edge.runtime.record.session import record as record_source
    from last_edge.runtime.sources import is_camera
    from last_edge.runtime.view.window import has_screen

    chosen = RecordOptions(
        labels=tuple(label), subject=subject, split=split, seconds=seconds, countdown_s=count_down, count=count,
        least_seen=LEAST_SEEN if least_seen is None else least_seen, retake=retake, bundle=bundle, **seeing.chosen(),
        window=is_camera(source) and has_screen() if window is None else window,
    )  # fmt: skip
    summary = record_source(store, source, options=chosen, on_notice=on_notice)
    facts = records.to_dict(summary)
    screen.emit(facts, table=lambda: clip_table(facts))
    if summary.gave_up:
        hint = "more light, the whole hand in the picture, or a smaller --least-seen"
        raise InputError("stopped; what came of it is kept", where=summary.source, got=summary.gave_up, hint=hint)
    if summary.lost:
        raise MissingError("the source is lost; what came of it is kept", where=summary.source, got=summary.lost)


def teach(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Folder of the teaching, new or begun before.")],
    gestures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GESTURE]...", help="What is taught; without: all there is, or as the call before."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option("--videos", help="Learn from videos, GESTURE/FILE.mp4, instead of the camera.")
    ] = None,
    folders: Annotated[
        str | None, typer.Option("--folders", metavar="label/person", help="What the levels of folders of videos mean.")
    ] = None,
    takes: Annotated[
        Path | None, typer.Option("--takes", help="Learn from takes: .npz of `record`, .json of the page, a store.")
    ] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Learn from a clip store.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="The camera. Default: cam:0.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Who is recorded. Default: me.")] = None,
    count: Annotated[int | None, typer.Option("--count", min=3, help="Takes of each gesture. Default: 10.")] = None,
    landmarks: Annotated[
        Literal["hand", "holistic", "pose"] | None,
        typer.Option("--landmarks", help="hand (default), holistic: hands and body, for signs, or pose: the body."),
    ] = None,
    hand: Annotated[
        Literal["first", "left", "right"] | None, typer.Option("--hand", help="The hand that takes show, if known.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help="Bundle to start from; none: from nothing. Default: none for a hand alone, else the zoo's."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Default: by the number of takes; not for a hand without a base."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Trainings at a time while measuring; 0: one a core.")
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Terms of the takes, for the bundle's card.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of weights, order and augmentation.")] = None,
    start: Annotated[bool, typer.Option("--run", help="Run the bundle afterwards.")] = False,
    dry_run: DryRun = False,
    screen: Screen = SCREEN,
) -> None:
    """Teach gestures of your own: record, measure, train and export a bundle, in minutes without a GPU.

    Takes come from the camera, or from files. The accuracy that is printed was measured on people, or takes, left out
    of training; NAME/report.md has it, and what to record next. Every step saves its result: the same command
    continues after an interruption, and learns new takes (`last-edge record NAME/recorded --label ...`).

    Example: last-edge teach runs/lamp wave fist point
    """
    from dataclasses import asdict, replace

    from last_edge.tools.teach.options import State, TeachOptions

    given: dict[str, Any] = {
        "videos": videos, "folders": folders, "takes": takes, "store": store, "source": source, "subject": subject,
        "count": count, "detector": landmarks, "hand": hand, "base": base, "epochs": epochs, "workers": workers,
        "licence": licence, "seed": seed,
    }  # fmt: skip
    typed = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    before = {name: value for name, value in State(folder).options.items() if name != "labels"}
    if any(typed[name] is not None for name in ("videos", "takes", "store", "source")):
        before |= {"videos": "", "takes": "", "store": ""}
    chosen: dict[str, Any] = {name: value for name, value in typed.items() if value is not None}
    options = replace(TeachOptions(**before), **chosen)
    if dry_run:
        screen.emit({"would_write": str(folder), "gestures": list(gestures or ()), **asdict(options)})
        return
    from last_edge.tools.teach.teacher import Teacher

    taught = Teacher(folder, gestures or (), options=options, tell=screen.note).teach()
    facts = records.to_dict(taught)
    shown = {"result": taught.sentence, "on streams": taught.on_streams or "not measured"}
    shown |= {"bundle": taught.bundle, "int8": taught.int8, "report": taught.report}
    shown |= {f"next {number}": line for number, line in enumerate(taught.advice, start=1)}
    screen.emit(facts if screen.json else shown | {"run it": taught.run})
    if start:
        from last_edge.tools.cli.run import run

        run(Path(taught.bundle), options.source)


def look_at(
    store: Path, labels: tuple[str, ...], *, review: bool, undo: int, on_notice: Callable[[str], None]
) -> dict[str, Any]:
    """The takes of a store, after a review, or without the newest."""
    from last_edge.runtime.record import review as reviewing
    from last_edge.runtime.record.journal import rescue

    opened = rescue(store, on_notice=on_notice)
    if opened is None:
        raise InputError("no clip store here", where=store, hint=f"last-edge record {store} --label NAME")
    out: list[Any] = []
    if review:
        out = reviewing.review(store, labels=labels)
    elif undo:
        numbers = reviewing.newest(opened, undo, labels=labels)
        out = [row for row in reviewing.takes_of(opened) if row.number in numbers]
        reviewing.take_out(store, numbers)
    for row in out:
        on_notice(f"taken out: {row.id}")
    rows = reviewing.takes_of(rescue(store) or opened, labels=labels)
    return {"takes": [records.to_dict(row) for row in rows], "taken_out": [records.to_dict(row) for row in out]}


def count_clips(store: Path, on_notice: Any) -> dict[str, Any]:
    """What a store holds, the takes of a session that was cut off included."""
    from last_edge.runtime.record.journal import rescue
    from last_edge.runtime.record.options import counts_of

    opened = rescue(store, on_notice=on_notice)
    if opened is None:
        raise InputError("no clip store here", where=store, hint=f"last-edge record {store} --label NAME")
    return {"store": str(store), "layout": opened.layout.name, "units": opened.units, "clips": len(opened),
            "counts": counts_of(opened), "sha256": opened.sha256}  # fmt: skip


def clip_table(facts: dict[str, Any]) -> Any:
    """A row a label, a column a person, and what came new."""
    counts, kept = facts["counts"], facts.get("kept", {})
    people = sorted({subject for own in counts.values() for subject in own})
    columns: dict[str, list[Any]] = {"label": list(counts)}
    for subject in people:
        columns[subject or "nobody"] = [own.get(subject, 0) for own in counts.values()]
    columns["all"] = [sum(own.values()) for own in counts.values()]
    if kept:
        columns["new"] = [kept.get(label, 0) for label in counts]
    return make_table(f"{facts['store']}: {facts['clips']} clips, {facts['layout']} in {facts['units']}", columns)
