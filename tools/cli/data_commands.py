"""`last-edge data prepare | info | synth`: from recordings to clip stores, and what is in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli.options import DryRun, Force, Json, Out, Quiet, Verbose
from last_edge.tools.cli.output import emit, stderr

SHOWN = 5

if TYPE_CHECKING:
    from last_edge.data.prepare import Exchange, Prepared


def prepare(
    name: Annotated[
        str,
        typer.Argument(
            help="shrec17, utd_mhad, holistic_words, ntu, pose, npz; sentences: how2sign, phoenix, pose_tsv."
        ),
    ],
    source: Annotated[Path, typer.Argument(help="Folder, archive or file of the dataset.")],
    out: Out,
    layout: Annotated[
        str | None, typer.Option(help="npz, pose, pose_tsv, holistic_words: layout name or file.")
    ] = None,
    labels: Annotated[int | None, typer.Option(help="shrec17: 14 or 28 classes.")] = None,
    split_type: Annotated[str | None, typer.Option(help="ntu: xsub, xview or xset.")] = None,
    missing_list: Annotated[Path | None, typer.Option(help="ntu: official (default), none or a file.")] = None,
    classes: Annotated[int | None, typer.Option(help="ntu: 60 (actions to 60 alone) or 120; default: all.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="ntu: spine along y, shoulders along x.")] = False,
    centre: Annotated[bool, typer.Option(help="ntu: origin at the first body's spine base.")] = True,
    image_size: Annotated[
        str | None, typer.Option(help="Recording size; holistic_words: default 640x480, how2sign: 1280x720.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="phoenix: text (default) or gloss is what is to be said.")] = None,
    words: Annotated[str | None, typer.Option(help="holistic_words: only these labels, comma between.")] = None,
    units: Annotated[str | None, typer.Option(help="npz: metres or image01.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, help="npz, holistic_words, how2sign: frame rate.")] = None,
    axes: Annotated[int | None, typer.Option(min=2, max=3, help="pose, pose_tsv: 2 drops the depth.")] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            help="pose: CSV of file,label,subject,split,camera,setup, or nslt_*.json. pose_tsv: TSV of file, text."
        ),
    ] = None,
    leave_out: Annotated[str | None, typer.Option(help="Subjects that test, comma between; all others train.")] = None,
    subjects: Annotated[str | None, typer.Option(help="Only these people's clips, comma between.")] = None,
    exchange: Annotated[
        list[str] | None,
        typer.Option(metavar="SUBJECT:LABEL:LABEL", help="Labels that somebody has the wrong way round; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first clips.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Read a dataset and write it as a clip store.

    Example: last-edge data prepare shrec17 SHREC2017_skeletons.tar.xz --out stores/shrec14
    """
    from last_edge.data.prepare import prepare as prepare_store

    given = {
        "layout": layout, "labels": labels, "split_type": split_type, "missing_list": missing_list,
        "classes": classes, "rotate": rotate or None, "centre": None if centre else False,
        "image_size": image_size, "words": names_of(words) or None,
        "units": units, "fps": fps, "axes": axes, "index": index, "target": target,
    }  # fmt: skip
    options = {key: value for key, value in given.items() if value is not None}
    with progress_of_clips(quiet) as progress:
        prepared = prepare_store(
            name, source, out=out, options=options, leave_out=names_of(leave_out), subjects=names_of(subjects),
            exchange=[_exchange(text) for text in exchange or ()], limit=limit, dry_run=dry_run, force=force,
            progress=progress,
        )  # fmt: skip
    show_prepared(prepared, as_json=as_json)


def synth(
    out: Out,
    glosses: Annotated[int, typer.Option(min=1, help="Classes.")] = 20,
    signers: Annotated[int, typer.Option(min=1, help="People.")] = 16,
    clips: Annotated[int, typer.Option(min=1, help="Clips a gloss and signer.")] = 4,
    test_signers: Annotated[int, typer.Option(min=0, help="People of the test split.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of signers and clips.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 30.0,
    noise: Annotated[float, typer.Option(help="Tracking noise of a hand point, in image heights.")] = 0.004,
    drop_rate: Annotated[float, typer.Option(help="Chance that a hand is lost in a frame.")] = 0.08,
    unknown: Annotated[bool, typer.Option("--unknown", help="Signs that no known set has, to test rejection.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Make synthetic signs: handshape x location x movement x orientation, by signers who differ.

    Example: last-edge data synth --glosses 20 --signers 16 --out stores/signs
    """
    import dataclasses

    from last_edge.data.prepare import store_clips
    from last_edge.data.synth import SynthOptions, gloss_names, synthesise

    options = SynthOptions(glosses, signers, clips, test_signers, seed, fps, noise, drop_rate, unknown)
    about = {"dataset": "synth", "licence": "generated, free of rights", "options": dataclasses.asdict(options)}
    with progress_of_clips(quiet) as progress:
        prepared = store_clips(
            synthesise(options), name="synth", out=out, labels=tuple(gloss_names(options)), about=about,
            dry_run=dry_run, force=force, progress=progress,
        )  # fmt: skip
    show_prepared(prepared, as_json=as_json)


def info(
    store: Annotated[Path, typer.Argument(help="Clip store.")],
    verify: Annotated[bool, typer.Option("--verify", help="Hash every file first.")] = False,
    gates: Annotated[bool, typer.Option("--gates", help="Hold the quality gates; exit code 4 when one fails.")] = False,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Change a gate's limit, such as fast=0; repeatable.")
    ] = None,
    duplicates: Annotated[bool, typer.Option(help="Look for near-duplicate clips across splits.")] = True,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show counts, lengths, missing points, overlap of subjects and near-duplicates of a store; with --gates judge it.

    Example: last-edge data info stores/shrec14 --verify --gates
    """
    from last_edge import records
    from last_edge.clips import ClipStore
    from last_edge.clips.features import feature_names, open_features
    from last_edge.data.gates import limits_from, require, run_gates
    from last_edge.data.inspect import inspect
    from last_edge.tools.cli.store_view import show_gates, show_info

    limits = limits_from(limit or [])
    if limit and not gates:
        raise UsageError("limits are for gates", hint=f"last-edge data info {store} --gates --limit {limit[0]}")
    opened = ClipStore.open(store)
    if verify:
        opened.verify()
        for name in feature_names(opened):
            open_features(opened, name).verify()
    facts = inspect(opened, duplicates=duplicates, near=limits.near)
    pairs = facts.near_duplicates if duplicates else None
    verdicts = run_gates(opened, limits=limits, pairs=pairs) if gates else ()
    if as_json:
        judged = {"gates": [records.to_dict(gate) for gate in verdicts]} if gates else {}
        emit(records.to_dict(facts) | judged, as_json=True)
    else:
        show_info(facts)
        show_gates(verdicts)
    require(verdicts, where=store)


def _exchange(text: str) -> Exchange:
    from last_edge.data.prepare import Exchange

    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise UsageError("--exchange needs a subject and two labels", expected="b:thanks:iloveyou", got=text)
    return Exchange(*parts)


def names_of(text: str | None) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@contextmanager
def progress_of_clips(quiet: bool) -> Iterator[Callable[[int], None]]:
    """A counter of clips on stderr."""
    console = stderr()
    console.quiet = quiet
    with console.status("reading") as status:
        yield lambda clips: status.update(f"{clips} clips") if clips % 50 == 0 else None


def show_prepared(prepared: Prepared, *, as_json: bool) -> None:
    """Print what came of a preparation."""
    from last_edge import records

    if as_json:
        emit(records.to_dict(prepared), as_json=True)
        return
    splits = ", ".join(f"{count} {split or 'without split'}" for split, count in prepared.splits.items())
    what = f"{prepared.store}  sha256 {prepared.sha256[:12]}" if prepared.sha256 else "dry run, nothing written"
    typer.echo(f"{prepared.name}: {prepared.clips} clips ({splits}), {prepared.classes} classes, {prepared.layout}")
    typer.echo(what)
    if prepared.left_out:
        shown = ", ".join(prepared.left_out[:SHOWN]) + (" ..." if len(prepared.left_out) > SHOWN else "")
        typer.echo(f"left out, no point in any frame: {len(prepared.left_out)} clips ({shown})")
