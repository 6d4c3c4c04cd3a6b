"""`last-edge data prepare | info | synth`: from recordings to clip stores, and what is in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.tools.options import DryRun, Force, Json, Out, Quiet, Verbose
from last_edge.tools.output import emit, stderr

SHOWN = 5

if TYPE_CHECKING:
    from last_edge.data.inspect import StoreInfo
    from last_edge.data.prepare import Prepared


def prepare(
    name: Annotated[str, typer.Argument(help="shrec17 | utd_mhad | holistic_words | ntu | pose | npz")],
    source: Annotated[Path, typer.Argument(help="Folder, archive or file of the dataset.")],
    out: Out,
    layout: Annotated[str | None, typer.Option(help="npz, pose, holistic_words: layout name or JSON file.")] = None,
    labels: Annotated[int | None, typer.Option(help="shrec17: 14 or 28 classes.")] = None,
    split_type: Annotated[str | None, typer.Option(help="ntu: xsub, xview or xset.")] = None,
    missing_list: Annotated[Path | None, typer.Option(help="ntu: official (default), none or a file.")] = None,
    classes: Annotated[int | None, typer.Option(help="ntu: 60 (actions to 60 alone) or 120; default: all.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="ntu: spine along y, shoulders along x.")] = False,
    centre: Annotated[bool, typer.Option(help="ntu: origin at the first body's spine base.")] = True,
    image_size: Annotated[str | None, typer.Option(help="holistic_words: recording size, default 640x480.")] = None,
    words: Annotated[str | None, typer.Option(help="holistic_words: only these labels, comma between.")] = None,
    units: Annotated[str | None, typer.Option(help="npz: metres or image01.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, help="npz, holistic_words: frame rate.")] = None,
    axes: Annotated[int | None, typer.Option(min=2, max=3, help="pose: 2 drops the depth.")] = None,
    index: Annotated[Path | None, typer.Option(help="pose: CSV of file,label,subject,split,camera,setup.")] = None,
    leave_out: Annotated[str | None, typer.Option(help="Subjects that test, comma between; all others train.")] = None,
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
        "image_size": image_size, "words": _names(words) or None,
        "units": units, "fps": fps, "axes": axes, "index": index,
    }  # fmt: skip
    options = {key: value for key, value in given.items() if value is not None}
    with _progress(quiet) as progress:
        prepared = prepare_store(
            name, source, out=out, options=options, leave_out=_names(leave_out), limit=limit, dry_run=dry_run,
            force=force, progress=progress,
        )  # fmt: skip
    _show_prepared(prepared, as_json=as_json)


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
    with _progress(quiet) as progress:
        prepared = store_clips(
            synthesise(options), name="synth", out=out, labels=tuple(gloss_names(options)), about=about,
            dry_run=dry_run, force=force, progress=progress,
        )  # fmt: skip
    _show_prepared(prepared, as_json=as_json)


def info(
    store: Annotated[Path, typer.Argument(help="Clip store.")],
    verify: Annotated[bool, typer.Option("--verify", help="Hash every file first.")] = False,
    duplicates: Annotated[bool, typer.Option(help="Look for near-duplicate clips across splits.")] = True,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show counts, lengths, missing points, overlap of subjects and near-duplicates of a store.

    Example: last-edge data info stores/shrec14 --verify
    """
    from last_edge import records
    from last_edge.clips import ClipStore
    from last_edge.data.inspect import inspect

    opened = ClipStore.open(store)
    if verify:
        opened.verify()
    facts = inspect(opened, duplicates=duplicates)
    if as_json:
        emit(records.to_dict(facts), as_json=True)
    else:
        _show_info(facts)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int], None]]:
    """A counter of clips on stderr."""
    console = stderr()
    console.quiet = quiet
    with console.status("reading") as status:
        yield lambda clips: status.update(f"{clips} clips") if clips % 50 == 0 else None


def _show_prepared(prepared: Prepared, *, as_json: bool) -> None:
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


def _show_info(facts: StoreInfo) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None, title=facts.store, title_justify="left")
    for name, value in _info_rows(facts):
        table.add_row(name, value)
    console.print(table, highlight=False)


def _info_rows(facts: StoreInfo) -> Iterator[tuple[str, str]]:
    about = facts.about
    yield "dataset", f"{about.get('title', about.get('dataset', '-'))}; licence: {about.get('licence', '-')}"
    yield "content", f"{facts.clips} clips, {facts.frames} frames, {facts.fps:g} fps, sha256 {facts.sha256[:12]}"
    yield "points", f"{facts.layout}, (M, V, C) = {facts.shape}, {facts.units}; {about.get('axes', '')}"
    yield "length", "min {} / quartiles {} {} {} / max {} frames".format(*facts.lengths)
    yield (
        "missing",
        f"{facts.missing:.1%} of points; " + _joined({k: f"{v:.1%}" for k, v in facts.missing_by_part.items()}),
    )
    yield "splits", _joined({split or "none": f"{count} clips, {facts.subjects_by_split[split]} subjects"
                             for split, count in facts.splits.items()})  # fmt: skip
    yield (
        "overlap",
        _joined({pair: ", ".join(people) or "no subject" for pair, people in facts.shared_subjects.items()}),
    )
    yield "labels", f"{len(facts.labels)}: " + _joined(facts.labels)
    yield (
        "absent",
        _joined({split or "none": ", ".join(names) for split, names in facts.labels_absent_by_split.items() if names}),
    )
    yield "subjects", f"{len(facts.subjects)}: " + _joined(facts.subjects)
    pairs = [f"{pair.one} ~ {pair.other} ({pair.distance:.3f})" for pair in facts.near_duplicates]
    yield "near-duplicates", f"{len(pairs)} across splits" + "".join(f"\n{pair}" for pair in pairs[:10])


def _joined(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"
