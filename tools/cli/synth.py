"""`last-edge data synth | synth-ntu | synth-nslt | augment-pool | compose`: stores of clips that nobody recorded so."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from last_edge import records
from last_edge.errors import UsageError
from last_edge.files import check_free, writing_folder
from last_edge.tools.cli.data import show_prepared
from last_edge.tools.cli.options import SCREEN, DryRun, Force, Out, Screen, Seed, StoreArgument, names_of

MARKER = "synth_ntu.json"


def synth(
    out: Out,
    glosses: Annotated[int, Option(min=1, help="Classes.")] = 20,
    signers: Annotated[int, Option(min=1, help="People.")] = 16,
    clips: Annotated[int, Option(min=1, help="Clips a gloss and signer.")] = 4,
    test_signers: Annotated[int, Option(min=0, help="People of the test split.")] = 4,
    seed: Seed = 0,
    fps: Annotated[float, Option(help="Frames a second.")] = 30.0,
    noise: Annotated[float, Option(help="Tracking noise of a hand point, in image heights.")] = 0.004,
    drop_rate: Annotated[float, Option(help="Chance that a hand is lost in a frame.")] = 0.08,
    unknown: Annotated[bool, Option("--unknown", help="Signs that no known set has, to test rejection.")] = False,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Make synthetic signs: handshape x location x movement x orientation, by signers who differ.

    Example: last-edge data synth --glosses 20 --signers 16 --out stores/signs
    """
    import dataclasses

    from last_edge.data.prepare import store_clips
    from last_edge.data.synth import SynthOptions, gloss_names, synthesise

    options = SynthOptions(glosses, signers, clips, test_signers, seed, fps, noise, drop_rate, unknown)
    about = {"dataset": "synth", "licence": "generated, free of rights", "options": dataclasses.asdict(options)}
    with screen.clips() as progress:
        prepared = store_clips(
            synthesise(options), name="synth", out=out, labels=tuple(gloss_names(options)), about=about,
            dry_run=dry_run, force=force, progress=progress,
        )  # fmt: skip
    show_prepared(prepared, screen)


def synth_ntu(
    out: Out,
    classes: Annotated[int, Option(help="60 or 120.")] = 60,
    groups: Annotated[int, Option(min=0, help="(setup, subject) groups of each 60 classes; 0: all.")] = 8,
    actions: Annotated[int, Option(min=0, max=60, help="Actions of each 60 classes; 0: all.")] = 10,
    frames: Annotated[int, Option(min=4, help="Mean length of a clip.")] = 24,
    odd: Annotated[float, Option(min=0, max=1, help="Share of clips with each tracking fault.")] = 0.1,
    seed: Seed = 0,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Make recordings in the official NTU RGB+D format: a folder of .skeleton files to try the whole way with.

    Each group has every camera and both repetitions. With --groups 0 --actions 0 the ids are those of the whole data
    set, as far as published figures fix them; --dry-run counts them by protocol and writes nothing.

    Example: last-edge data synth-ntu --out runs/ntu/raw, then last-edge data prepare ntu runs/ntu/raw --out
    runs/ntu/store
    """
    import dataclasses

    from rich.progress import track

    from last_edge.data.readers.ntu import CLASSES, missing_ids
    from last_edge.data.synth.ntu import NtuSynthOptions, count_splits, part, skeleton_file
    from last_edge.tools.output import stderr

    if classes not in CLASSES:
        raise UsageError("NTU RGB+D has no such number of classes", expected=CLASSES, got=classes)
    check_free(out, force=force, marker=MARKER)
    names = part(classes, groups=groups, actions=actions)
    listed = missing_ids() & {name.clip_id for name in names}
    splits = {"all": count_splits(names), "without_missing": count_splits(names, without=listed)}
    asked = {"out": str(out), "classes": classes, "groups": groups, "actions": actions}
    facts = {**asked, "clips": len(names), "missing": len(listed), "splits": splits}
    if not dry_run:
        options = NtuSynthOptions(frames, odd, seed)
        with writing_folder(out, marker=MARKER, force=force) as folder:
            for name in track(names, "writing", console=stderr(), disable=screen.quiet, transient=True):
                (folder / f"{name.clip_id}.skeleton").write_text(skeleton_file(name, options), encoding="ascii")
            about = {**facts, "made": dataclasses.asdict(options)} | {"out": out.name}
            records.write_json(folder / MARKER, about)
    if screen.json:
        screen.emit(facts)
        return
    where = "dry run, nothing written" if dry_run else out
    typer.echo(f"{len(names)} clips, {len(listed)} of them in the missing list; {where}")
    for protocol, counts in splits["all"].items():
        kept = splits["without_missing"][protocol]
        whole, rest = (f"{split.get('train', 0)} / {split.get('test', 0)}" for split in (counts, kept))
        typer.echo(f"{protocol:<6} train / test  {whole}, without the missing list  {rest}")


def synth_nslt(
    index: Annotated[Path, Argument(help="An official subset, nslt_100.json to nslt_2000.json.")],
    out: Out,
    frames: Annotated[int, Option(min=2, help="Frames of a clip.")] = 8,
    width: Annotated[int, Option(min=1, help="Numbers a row of features.")] = 64,
    rows: Annotated[int, Option(min=1, help="Rows of features a clip.")] = 4,
    noise: Annotated[float, Option(min=0.0, help="Clips' distance from their class, in the classes' spread.")] = 1.5,
    test_clips: Annotated[int, Option(min=0, help="Test clips of each class; 0 for the official ones.")] = 0,
    seed: Seed = 0,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Make a store with the classes, splits and clip counts of an official NSLT subset, and features beside it.

    Landmarks and features are drawn, class by class: nobody's recording. What is measured on it tells of the counts,
    not of signs.

    Example: last-edge data synth-nslt wlasl/nslt_1000.json --out runs/nslt/store
    """
    from last_edge.data.synth import nslt

    options = nslt.NsltSynthOptions(frames, width, rows, noise, test_clips, seed)
    with screen.clips() as progress:
        made = nslt.synth_nslt(index, out=out, options=options, dry_run=dry_run, force=force, progress=progress)
    show_prepared(made, screen)


def augment_pool(
    store: StoreArgument,
    out: Out,
    variants: Annotated[int, Option(min=0, help="Most variants of a training clip; 0 for none.")] = 60,
    per_class: Annotated[int, Option(min=0, help="Training clips to fill a class up to.")] = 200,
    classes: Annotated[int, Option(min=0, help="Only the classes with most clips; 0 for all.")] = 0,
    axes: Annotated[int, Option(min=0, help="Axes of a point to keep, 2 for x and y; 0 for all.")] = 0,
    split_by: Annotated[
        str, Option(help="keep the store's splits, or draw by source (recording) or subject.")
    ] = "keep",
    shares: Annotated[str, Option(help="Of train, val and test, where splits are drawn.")] = "0.7,0.15,0.15",
    without: Annotated[str | None, Option(help="Kinds not to make, comma-separated, such as mirror.")] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Make a store of clips and variants of the training clips, kept on disk; a clip and its variants share a split.

    Kinds: shear, turn, mirror (with the hands exchanged), noise, shift, scale, speed, occlude, drop_hand, warp,
    proportions, view. Validation and test clips stay as recorded.

    Example: last-edge data augment-pool stores/words --classes 50 --split-by source --out stores/words50_augmented
    """
    from last_edge.data import pool

    try:
        train, val, test = (float(part) for part in shares.split(","))
    except ValueError as error:
        raise UsageError("--shares needs three numbers", expected="0.7,0.15,0.15", got=shares) from error
    options = pool.PoolOptions(
        variants=variants, per_class=per_class, classes=classes, axes=axes, split_by=split_by,
        shares=(train, val, test), seed=seed, without=names_of(without),
    )  # fmt: skip
    with screen.clips() as progress:
        made = pool.augment_pool(store, out=out, options=options, dry_run=dry_run, force=force, progress=progress)
    show_prepared(made, screen)


def compose(
    store: Annotated[Path, Argument(help="Clip store of isolated, labelled signs.")],
    out: Out,
    sentences: Annotated[int, Option(min=1, help="Sentences of the training split.")] = 3000,
    others: Annotated[int, Option(min=1, help="Sentences of validation and of test, each.")] = 400,
    val_subjects: Annotated[int, Option(min=0, help="Training subjects that validate, if no split does.")] = 3,
    lexicon: Annotated[Path | None, Option(help="JSON with role and forms of each label; default: made up.")] = None,
    fps: Annotated[float, Option(min=0.0, help="Frames a second; 0 for the store's.")] = 0.0,
    shortest: Annotated[float, Option(help="Shortest transition in seconds.")] = 0.15,
    longest: Annotated[float, Option(help="Longest transition in seconds.")] = 0.4,
    seed: Seed = 0,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Make sentences with English text of one person's isolated clips each: a corpus to translate.

    Signs come in another order than the words of the text, and some words have no sign. A person is in one split, and
    so is every text. Real clips, made-up sentences: figures on them say nothing about a natural sign language.

    Example: last-edge data compose runs/shrec28/store --fps 15 --out runs/sentences/store
    """
    from last_edge.data.compose import SentenceOptions, compose_sentences

    options = SentenceOptions(sentences, others, val_subjects, fps, (shortest, longest), seed)
    with screen.clips() as progress:
        made = compose_sentences(
            store, out=out, options=options, lexicon=lexicon, dry_run=dry_run, force=force, progress=progress
        )
    show_prepared(made, screen)
