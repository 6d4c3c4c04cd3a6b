"""`last-edge data synth-ntu`: made recordings in the official NTU RGB+D format, and what its protocols count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.tools.cli.options import DryRun, Force, Json, Out, Quiet, Verbose
from last_edge.tools.cli.output import emit, stderr

if TYPE_CHECKING:
    from last_edge.data.readers.ntu import NtuName

MARKER = "synth_ntu.json"


def synth_ntu(
    out: Out,
    classes: Annotated[int, typer.Option(help="60 or 120.")] = 60,
    groups: Annotated[int, typer.Option(min=0, help="(setup, subject) groups of each 60 classes; 0: all.")] = 8,
    actions: Annotated[int, typer.Option(min=0, max=60, help="Actions of each 60 classes; 0: all.")] = 10,
    frames: Annotated[int, typer.Option(min=4, help="Mean length of a clip.")] = 24,
    odd: Annotated[float, typer.Option(min=0, max=1, help="Share of clips with each tracking fault.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of people and motions.")] = 0,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Make recordings in the official NTU RGB+D format: a folder of .skeleton files to try the whole way with.

    Each group has every camera and both repetitions. With --groups 0 --actions 0 the ids are those of the whole data
    set, as far as published figures fix them; --dry-run counts them by protocol and writes nothing.

    Example: last-edge data synth-ntu --out runs/ntu/raw, then last-edge data prepare ntu runs/ntu/raw --out
    runs/ntu/store
    """
    from last_edge.data.readers.ntu import CLASSES
    from last_edge.data.synth.ntu import NtuSynthOptions, part
    from last_edge.errors import UsageError
    from last_edge.files import check_free

    if classes not in CLASSES:
        raise UsageError("NTU RGB+D has no such number of classes", expected=CLASSES, got=classes)
    check_free(out, force=force, marker=MARKER)
    names = part(classes, groups=groups, actions=actions)
    facts = _facts(names, out=str(out), classes=classes, groups=groups, actions=actions)
    if not dry_run:
        _write(names, NtuSynthOptions(frames, odd, seed), out=out, facts=facts, force=force, quiet=quiet)
    if as_json:
        emit(facts, as_json=True)
    else:
        _show(facts, dry_run=dry_run)


def _facts(names: list[NtuName], **asked: Any) -> dict[str, Any]:
    from last_edge.data.readers.ntu import missing_ids
    from last_edge.data.synth.ntu import count_splits

    listed = missing_ids() & {name.clip_id for name in names}
    counts = {"all": count_splits(names), "without_missing": count_splits(names, without=listed)}
    return {**asked, "clips": len(names), "missing": len(listed), "splits": counts}


def _write(names: list[NtuName], options: Any, *, out: Any, facts: dict[str, Any], force: bool, quiet: bool) -> None:
    import dataclasses
    import json

    from rich.progress import track

    from last_edge.data.synth.ntu import skeleton_file
    from last_edge.files import writing_folder

    with writing_folder(out, marker=MARKER, force=force) as folder:
        for name in track(names, "writing", console=stderr(), disable=quiet, transient=True):
            (folder / f"{name.clip_id}.skeleton").write_text(skeleton_file(name, options), encoding="ascii")
        about = {**facts, "made": dataclasses.asdict(options)} | {"out": out.name}
        (folder / MARKER).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _show(facts: dict[str, Any], *, dry_run: bool) -> None:
    what = "dry run, nothing written" if dry_run else facts["out"]
    typer.echo(f"{facts['clips']} clips, {facts['missing']} of them in the missing list; {what}")
    for protocol, counts in facts["splits"]["all"].items():
        kept = facts["splits"]["without_missing"][protocol]
        whole, rest = (f"{split.get('train', 0)} / {split.get('test', 0)}" for split in (counts, kept))
        typer.echo(f"{protocol:<6} train / test  {whole}, without the missing list  {rest}")
