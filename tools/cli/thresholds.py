"""`last-edge thresholds | samples`: when a bundle should say nothing, and what its classes look like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli.options import (
    SCREEN,
    BundlePath,
    DryRun,
    MeasureOn,
    Screen,
    Seed,
    Store,
    Threads,
    names_of,
    open_store,
)
from last_edge.tools.output import rows_table

if TYPE_CHECKING:
    from last_edge.bundle import Manifest

Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="The bundle's run, whose held-out people judge; or one of the same model and input that held people out, "
        "where the bundle learnt from everybody.",
    ),
]


def thresholds(
    bundle: BundlePath,
    store: MeasureOn = None,
    run: Run = None,
    held_out: Annotated[
        str,
        typer.Option("--held-out", help="Instead of --run: training people whom the weights never saw, comma between."),
    ] = "",
    gestures: Annotated[int, typer.Option("--gestures", min=1, help="Most clips of held-out people.")] = 200,
    background: Annotated[
        int, typer.Option("--background", min=0, help="Clips of the background set, where the layout has one.")
    ] = 210,
    more: Annotated[
        Path | None, typer.Option("--more", help="A store of further clips in which no gesture is made.")
    ] = None,
    threads: Threads = 1,
    seed: Seed = 0,
    dry_run: DryRun = False,
    screen: Screen = SCREEN,
) -> None:
    """Fit when a bundle is to say nothing: temperature, energy, and the curve of gestures found against false events.

    On streams of people whom the weights never saw, with idle stretches and made motions between, and on clips of no
    gesture. The curve stays in the bundle: `run` and the page work at the point it states, `--false-alarms-per-hour`
    chooses another. Without --store and --run the bundle's curve is shown.

    Example: last-edge thresholds runs/shrec14/bundle --store runs/shrec14/store --run runs/shrec14/student
    """
    from last_edge.bundle import Bundle

    if store is None and run is None and not held_out:
        show(Bundle.open(bundle).manifest, screen)
        return
    opened = open_store(store)
    if opened is None:
        raise UsageError("people's clips are needed to fit thresholds", expected="--store STORE --run RUN")
    people = names_of(held_out)
    from last_edge.tools.operating import Measure, fit_thresholds, judging_clips

    measure = Measure(gestures=gestures, background=background, more=open_store(more), seed=seed)
    if dry_run:
        clips = judging_clips(Bundle.open(bundle), opened, run, people)
        screen.emit({"would_write": str(bundle), "clips_of_held_out_people": len(clips)})
        return
    fitted = fit_thresholds(
        bundle, opened, run=run, people=people, measure=measure, threads=threads, report=screen.note
    )
    show(fitted, screen)


def samples(bundle: BundlePath, store: Store, dry_run: DryRun = False, screen: Screen = SCREEN) -> None:
    """Put typical motions of its classes into a bundle, to play with `run --source samples`, and a picture of them.

    A typical motion is the mean of the clips of all training people of a store, so it is nobody's recording; a class
    that fewer than two people show gets none. The card shows the picture, an SVG of moving skeletons.

    Example: last-edge samples runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.bundle import Bundle
    from last_edge.bundle.manifest import PICTURE, SAMPLES

    opened = open_store(store)
    assert opened is not None
    if dry_run:
        Bundle.open(bundle)
        screen.emit({"would_write": str(bundle), "files": [SAMPLES, PICTURE]})
        return
    from last_edge.export.bundles.samples import add_samples

    manifest = add_samples(bundle, opened)
    screen.emit({"bundle": str(bundle), "files": [name for name in (SAMPLES, PICTURE) if name in manifest.files]})


def show(manifest: Manifest, screen: Screen) -> None:
    """Thresholds and curves; as JSON both whole."""
    if not manifest.operating and not screen.json:
        typer.echo("no curve; last-edge thresholds BUNDLE --store STORE --run RUN makes one")
        return
    rows: list[dict[str, Any]] = [
        {"decode": decode, **{name: value for name, value in row.items() if name != "stated"},
         "used unasked": "yes" if row.get("stated") else ""}
        for decode, curve in sorted(manifest.operating.items()) for row in curve
    ]  # fmt: skip
    whole = {"thresholds": manifest.thresholds, "operating": {name: list(c) for name, c in manifest.operating.items()}}
    screen.emit(whole, table=lambda: rows_table(manifest.name, rows))
