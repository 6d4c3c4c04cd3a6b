"""`last-edge data prepare | info | extract | convert`: from recordings to clip stores, and what is in one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option
from typer.core import TyperGroup

from last_edge import records
from last_edge.errors import UsageError
from last_edge.files import check_free
from last_edge.names import check_known, some
from last_edge.tools.cli import options as opt
from last_edge.tools.output import make_table
from last_edge.tools.register import Command, Function, OptionGroup, described, expanded

if TYPE_CHECKING:
    from last_edge.data.gates import Gate
    from last_edge.data.inspect import StoreInfo
    from last_edge.data.prepare import Dataset, Prepared
    from last_edge.tools.extract.plan import Job
    from last_edge.tools.extract.run import Extracted

VIDEOS = "videos"
SHOWN = 5
MOST = 12
"""Names that a row shows before it says how many more there are."""
VERDICTS = {True: "passed", False: "FAILED", None: "-"}

# What readers take, by the name of their argument: type and meaning. `READERS` says which format takes which.
FORMAT_OPTIONS: dict[str, tuple[Any, str]] = {
    "layout": (str, "Layout name or file."),
    "labels": (int, "14 or 28 classes."),
    "split_type": (str, "Which split: xsub, xview or xset of NTU; of a PYSKL file the one to take."),
    "missing_list": (Path, "Clips to leave out: official, none or a file."),
    "classes": (int, "60 (actions to 60 alone) or 120; default: all."),
    "rotate": (bool, "Spine along y, shoulders along x."),
    "centre": (bool, "Origin at the first body's spine base."),
    "image_size": (str, "Size of the recording, such as 640x480."),
    "target": (str, "What is to be said: text or gloss."),
    "words": (str, "Only these labels, comma-separated."),
    "units": (
        str,
        "metres, image01 (image heights, y down), pixels (with --image-size) or world (MediaPipe's world landmarks).",
    ),
    "fps": (float, "Frames a second."),
    "label_file": (Path, "Names, one a line, for labels that are numbers."),
    "mirrored": (str, "yes where pictures were flipped before, as in selfie views."),
    "side": (str, "Which of two hands: left or right."),
    "frames": (int, "Frames of a clip that is one static shape."),
    "bodies": (int, "People to keep in a clip."),
    "person": (str, "Who is kept of several people: largest, left, right or centre."),
    "aspect": (float, "Width over height of the pictures."),
    "axes": (str, "Of `pose` and the like: 2 drops the depth. Of `npz` in metres: y-up, or y-down as a camera has it."),
    "index": (
        Path,
        "Of `pose` a CSV of file,label,subject,split,camera,setup, or nslt_*.json; of `pose_tsv` a TSV of file, text.",
    ),
}

Source = Annotated[Path, Argument(metavar="SOURCE", help="Folder, archive or file of the dataset.")]
LeaveOut = Annotated[str | None, Option(help="Subjects of the test split, comma-separated; all others train.")]
Subjects = Annotated[str | None, Option(help="Only these people's clips, comma-separated.")]
TestShare = Annotated[
    float, Option(min=0.0, max=0.5, help="Share of each label's clips for the test split, if people are unknown.")
]
Exchanges = Annotated[
    list[str] | None,
    Option(metavar="SUBJECT:LABEL:LABEL", help="Exchange two labels of a subject; repeatable."),
]
Limit = Annotated[int | None, Option(min=1, help="Only the first clips.")]
Strict = Annotated[bool, Option("--strict", help="Stop at the first damaged file instead of leaving it out.")]


class Formats(TyperGroup):
    """`data prepare NAME`: a command a format, each with the options of its own reader."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all formats."""
        from last_edge.data.prepare import READERS

        return [VIDEOS, *READERS]

    def get_command(self, ctx: Any, name: str) -> Any:
        """The command of a format; `UsageError` with the nearest names for an unknown one."""
        from last_edge.data.prepare import READERS, get_dataset

        check_known(name, (VIDEOS, *READERS), "dataset")
        function = prepare_videos if name == VIDEOS else prepare(name, get_dataset(name))
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        kind = Command if name == VIDEOS else FormatCommand
        app.command(name, cls=kind, **described(function))(expanded(function))
        return typer.main.get_command(app)


class FormatCommand(Command):
    """A format's command, which says where an option belongs that it does not have."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As usual; `UsageError` for another format's option."""
        from last_edge.data.prepare import get_dataset

        own = {word for parameter in self.params for word in (*parameter.opts, *parameter.secondary_opts)}
        for option in FORMAT_OPTIONS:
            flag = f"--{option.replace('_', '-')}"
            if flag in {word.partition("=")[0].replace("_", "-") for word in args} - own:
                known = ", ".join(get_dataset(str(self.name)).options) or "none"
                raise UsageError(f"{self.name} has no option {option!r}", expected=known)
        return super().parse_args(ctx, args)


def prepare(name: str, dataset: Dataset) -> Function:
    """The command that prepares one format."""

    def command(
        source: Source,
        out: opt.Out,
        leave_out: LeaveOut = None,
        subjects: Subjects = None,
        test_share: TestShare = 0.0,
        exchange: Exchanges = None,
        limit: Limit = None,
        strict: Strict = False,
        dry_run: opt.DryRun = False,
        force: opt.Force = False,
        screen: opt.Screen = opt.SCREEN,
        **given: Any,
    ) -> None:
        from last_edge.data import prepare as preparing

        options = {key: value for key, value in given.items() if value is not None}
        if "words" in options:
            options["words"] = opt.names_of(options["words"])
        swaps = []
        for text in exchange or ():
            parts = text.split(":")
            if len(parts) != 3 or not all(parts):
                raise UsageError("--exchange needs a subject and two labels", expected="b:thanks:iloveyou", got=text)
            swaps.append(preparing.Exchange(*parts))
        with screen.clips() as progress:
            prepared = preparing.prepare(
                name, source, out=out, options=options, leave_out=opt.names_of(leave_out),
                subjects=opt.names_of(subjects), test_share=test_share, exchange=swaps, limit=limit, strict=strict,
                dry_run=dry_run, force=force, progress=progress,
            )  # fmt: skip
        show_prepared(prepared, screen)

    reads, own = signature(dataset.read).parameters, []
    for option in dataset.options:
        kind, meaning = FORMAT_OPTIONS[option]
        default = reads[option].default if option in reads else None
        default_text = "" if kind is bool or default is None else f" Default: {default}."
        annotation = Annotated[kind | None, Option(help=meaning + default_text)]  # type: ignore[valid-type]
        own.append(Parameter(option, Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    usual = signature(command, eval_str=True).parameters.values()
    common = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in usual if each.name != "given"]
    command.__signature__ = Signature([common[0], *own, *common[1:]])  # type: ignore[attr-defined]
    command.__doc__ = f"{dataset.title}.\n\n    Licence: {dataset.licence}. Axes: {dataset.axes}."
    command.__doc__ += f"\n\n    Example: last-edge data prepare {name} SOURCE --out STORE"
    return command


def show_prepared(prepared: Prepared, screen: opt.Screen) -> None:
    """Print what came of a preparation."""
    if screen.json:
        screen.emit(records.to_dict(prepared))
        return
    splits = ", ".join(f"{count} {split or 'without split'}" for split, count in prepared.splits.items())
    typer.echo(f"{prepared.name}: {prepared.clips} clips ({splits}), {prepared.classes} classes, {prepared.layout}")
    typer.echo(f"{prepared.store}  sha256 {prepared.sha256[:12]}" if prepared.sha256 else "dry run, nothing written")
    if prepared.left_out:
        shown = ", ".join(prepared.left_out[:SHOWN]) + (" ..." if len(prepared.left_out) > SHOWN else "")
        typer.echo(f"left out, no point in any frame: {len(prepared.left_out)} clips ({shown})")
    said = {"left out, damaged": prepared.damaged, "kept, but not whole": prepared.incomplete}
    for what, faults in said.items():
        if faults:
            typer.echo(f"{what}: {len(faults)} files or rows")
            for fault in faults[:SHOWN]:
                typer.echo(f"  {fault}")


def info(
    store: opt.StoreArgument,
    verify: Annotated[bool, Option("--verify", help="Hash every file first.")] = False,
    gates: Annotated[bool, Option("--gates", help="Check the quality gates; exit code 4 when one fails.")] = False,
    limit: Annotated[
        list[str] | None, Option(metavar="NAME=VALUE", help="Change a gate's limit, such as fast=0; repeatable.")
    ] = None,
    duplicates: Annotated[bool, Option(help="Look for near-duplicate clips across splits.")] = True,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Show counts, lengths, missing points, overlap of subjects and near-duplicates of a store; with --gates check it.

    Example: last-edge data info stores/shrec14 --verify --gates
    """
    from last_edge.clips import ClipStore
    from last_edge.clips.features import feature_names, open_features
    from last_edge.data.gates import limits_from, require, run_gates
    from last_edge.data.inspect import inspect

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
    if screen.json:
        judged = {"gates": [records.to_dict(gate) for gate in verdicts]} if gates else {}
        screen.emit(records.to_dict(facts) | judged)
    else:
        show_info(facts)
        if verdicts:
            screen.emit({}, table=lambda: make_table("gates", gate_columns(verdicts)))
    require(verdicts, where=store)


def gate_columns(gates: Iterable[Gate]) -> dict[str, list[Any]]:
    """A row a gate, and the clips that break it."""
    rows = list(gates)
    return {
        "gate": [gate.name for gate in rows],
        "held": [VERDICTS[gate.passed] for gate in rows],
        "rule": [gate.rule for gate in rows],
        "found": [gate.found + ("\n" + ", ".join(gate.clips) if gate.clips else "") for gate in rows],
    }


def show_info(facts: StoreInfo) -> None:
    """A line a question: where from, how much, what is missing, who and what is in it."""
    from rich.console import Console
    from rich.table import Table

    def joined(values: dict[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"

    def counted(counts: dict[str, int]) -> str:
        if len(counts) <= 2 * MOST:
            return joined(counts)
        present = [count for count in counts.values() if count]
        return f"{len(present)} with {min(present, default=0)} to {max(present, default=0)} clips"

    about, people = facts.about, facts.subjects_by_split
    absent = {split or "none": some(names, MOST) for split, names in facts.labels_absent_by_split.items() if names}
    pairs = [f"{pair.one} ~ {pair.other} ({pair.distance:.3f})" for pair in facts.near_duplicates]
    spans = f"{joined(facts.shown_s)} seconds; background {facts.background_s:g}"
    rows = {
        "dataset": f"{about.get('title', about.get('dataset', '-'))}; licence: {about.get('licence', '-')}",
        "content": f"{facts.clips} clips, {facts.frames} frames, {facts.fps:g} fps, sha256 {facts.sha256[:12]}",
        "points": f"{facts.layout}, (M, V, C) = {facts.shape}, {facts.units}; {about.get('axes', '')}",
        "length": "min {} / quartiles {} {} {} / max {} frames".format(*facts.lengths),
        "missing": f"{facts.missing:.1%} of points; "
        + joined({part: f"{share:.1%}" for part, share in facts.missing_by_part.items()}),
        "splits": joined(
            {split or "none": f"{count} clips, {people[split]} subjects" for split, count in facts.splits.items()}
        ),
        "overlap": joined({pair: ", ".join(names) or "no subject" for pair, names in facts.shared_subjects.items()}),
        "labels": f"{len(facts.labels)}: " + counted(facts.labels),
        **({"shown": spans} if facts.shown_s else {}),
        "absent": joined(absent),
        "subjects": f"{len(facts.subjects)}: " + counted(facts.subjects),
        "near-duplicates": f"{len(pairs)} across splits" + "".join(f"\n{pair}" for pair in pairs[:10]),
    }
    table = Table(show_header=False, box=None, title=facts.store, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table, highlight=False)


@dataclass(frozen=True)
class VideoOptions(OptionGroup):
    """Which videos, what they show, and who takes landmarks out of them."""

    folders: Annotated[
        str,
        Option(
            metavar="split/label/person",
            help="What the levels of folders mean, from VIDEOS down; - means nothing. Default: label. "
            "Parts of a file's name have underscores between: label_person_- for 001_004_003.mp4.",
        ),
    ] = ""
    index: Annotated[
        Path | None,
        Option(
            help="Instead: a table of file,label,subject,split,start,end (seconds), nslt_*.json, or a folder of ELAN "
            ".eaf whose annotations are cut out."
        ),
    ] = None
    spans: Annotated[
        Path | None,
        Option(
            help="What whole videos show and when: a table of file,label,start,end (seconds), or a folder of ELAN .eaf."
        ),
    ] = None
    tier: Annotated[str, Option(help="With --spans or --index: the tier of the .eaf files.")] = ""
    leave_out: LeaveOut = None
    subjects: Subjects = None
    test_share: TestShare = 0.0
    layout: Annotated[str, Option(help="mediapipe_holistic75 or 83, mediapipe_pose33, mediapipe_hand21.")] = (
        "mediapipe_holistic75"
    )
    fps: Annotated[
        float | None, Option(help="Of folders of images, 30 by default; of videos in place of their time stamps.")
    ] = None
    person: opt.PersonName = "largest"
    flip: opt.Flip = False
    rotate: opt.Rotate = "0"
    strict: Annotated[bool, Option("--strict", help="Write no store when a video cannot be read to its end.")] = False
    jobs: Annotated[int, Option(min=0, help="Processes on this machine; 0 for one a processor.")] = 0
    dask: Annotated[str, Option(metavar="ADDRESS", help="A Dask scheduler, tcp://HOST:8786, in their place.")] = ""

    def plan(self, videos: Path, out: Path, *, vision: str = "", rows: int = 16) -> list[Job]:
        """What there is to do."""
        from last_edge.data.readers.archive import leaving_out
        from last_edge.tools.extract.plan import Settings, choose_jobs, plan_jobs

        settings = Settings(self.layout, vision, rows, self.fps, self.person, self.flip, opt.turn_of(self.rotate))
        with nullcontext() if self.strict else leaving_out():
            planned = plan_jobs(
                videos, out.absolute(), settings, index=self.index, folders=self.folders, spans=self.spans,
                tier=self.tier,
            )  # fmt: skip
        return choose_jobs(
            planned, leave_out=opt.names_of(self.leave_out), subjects=opt.names_of(self.subjects),
            test_share=self.test_share,
        )  # fmt: skip

    def extract(self, jobs: list[Job], out: Path, screen: opt.Screen, *, dry_run: bool, **how: Any) -> Extracted | None:
        """Do it, or on a dry run tell how much is left."""
        from last_edge.tools.extract.run import extract_all, read_result

        if dry_run:
            done = sum(read_result(job) is not None for job in jobs)
            counts = {"videos": len(jobs), "done": done, "to do": len(jobs) - done}
            screen.emit(counts | {"classes": len({job.label for job in jobs})})
            return None
        with screen.status("reading videos") as tell:
            return extract_all(
                jobs, out, index=self.index, processes=self.jobs or os.cpu_count() or 1, dask=self.dask,
                strict=self.strict,
                progress=lambda done, all_jobs: tell(f"{done} of {all_jobs} videos"), **how,
            )  # fmt: skip


VIDEO_OPTIONS = VideoOptions()


def prepare_videos(
    videos: Annotated[Path, Argument(metavar="SOURCE", help="Folder of videos, or of folders of images.")],
    out: opt.Out,
    options: VideoOptions = VIDEO_OPTIONS,
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Videos, or folders of images, in folders that say what they show: landmarks by MediaPipe or LiteRT, even in time.

    After an interruption the same command goes on: what was taken out of each video lies in OUT.clips until it is
    deleted, and serves again with other splits (--force replaces the store). Videos that cannot be read are named and
    left out. `last-edge models fetch holistic` (hand, pose) brings the detector.

    Example: last-edge data prepare videos recordings --folders label/person --leave-out anna --out STORE
    """
    from last_edge.clips.store import HEADER

    check_free(out, force=force, marker=HEADER)
    work = out.absolute().with_name(f"{out.absolute().name}.clips")
    found = options.extract(
        options.plan(videos, work), work, screen, dry_run=dry_run, name="", store=out, dataset=VIDEOS
    )
    if found is not None:
        damaged = tuple(f"{video}: {why}" for video, why in found.broken.items())
        halves = tuple(f"{video}: {notes}" for video, notes in found.incomplete.items())
        show_prepared(replace(found.store, damaged=damaged, incomplete=halves), screen)


def extract(
    videos: Annotated[Path, Argument(help="Folder of videos.")],
    out: opt.Out,
    options: VideoOptions = VIDEO_OPTIONS,
    vision: Annotated[Path | None, Option(help="Folder of a vision model of transformers, for features too.")] = None,
    rows: Annotated[int, Option(min=1, help="Rows of features a clip, of frames evenly spread over it.")] = 16,
    name: Annotated[str, Option(help="What the features are called.")] = "visual",
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Take landmarks, and with --vision features, out of videos; OUT/store is a store like any other.

    What is done lies in OUT/clips and is skipped next time, until its video or the settings change; --force does all
    anew. Videos that cannot be read are named at the end and in OUT/broken.json; the others go on. Nothing is
    downloaded: `last-edge models fetch holistic` brings the detector, --vision names a folder with model.safetensors.

    --leave-out and --test-share decide anew what tests; nothing is taken out of a video again for it.

    The workers of a Dask cluster need this package and see VIDEOS and OUT under the same names.

    Example: last-edge data extract wlasl/videos --index nslt_100.json --vision models/siglip --out runs/nslt100
    """
    planned = options.plan(videos, out, vision=str(vision or ""), rows=rows)
    found = options.extract(planned, out, screen, dry_run=dry_run, name=name, force=force)
    if found is None:
        return
    if screen.json:
        screen.emit(records.to_dict(found))
        return
    splits = ", ".join(f"{count} {split or 'without split'}" for split, count in found.store.splits.items())
    typer.echo(
        f"{found.store.store}: {found.store.clips} clips ({splits}); {found.made} made, {found.before} there before"
    )
    if found.broken:
        shown = "; ".join(f"{video}: {why}" for video, why in list(found.broken.items())[:SHOWN])
        typer.echo(f"without a result: {len(found.broken)} ({shown})")


def convert(
    store: opt.StoreArgument,
    out: opt.Out,
    bundle: Annotated[
        Path | None, Option(callback=opt.in_zoo, help="The bundle whose joints, axes and units are wanted.")
    ] = None,
    layout: Annotated[
        str | None, Option(help="Instead: a layout's name, in metres; of one hand all become right hands.")
    ] = None,
    hand: opt.Hand = "first",
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Write a store's clips with the joints, axes, size and units that a bundle takes, as `run` would feed them to it;
    or with those of a layout.

    Clips that show nothing of use are left out and named.

    Example: last-edge data convert runs/words/store --bundle zoo/last_lite_nano_shrec14 --out runs/words/hands
    """
    from last_edge.runtime.record.target import Wanted, convert_store
    from last_edge.skeleton import get_layout

    if bundle is not None and layout is None:
        wanted = Wanted.of(bundle)
    elif layout is not None and bundle is None:
        wanted = Wanted.of_layout(get_layout(layout), "metres")
    else:
        raise UsageError("convert to what?", expected="--bundle BUNDLE, or --layout NAME", got=layout or "neither")
    screen.emit(records.to_dict(convert_store(store, out, wanted=wanted, hand=hand, force=force)))


def join(
    stores: Annotated[list[Path], Argument(help="Clip stores, at least one.")],
    out: opt.Out,
    layout: Annotated[str | None, Option(help="Layout of all; default: the first store's.")] = None,
    labels: Annotated[
        Path | None,
        Option(help='JSON, {"LEFT": "swipe left"}: what each label is called; those it lacks become background.'),
    ] = None,
    upright: Annotated[
        bool, Option("--upright", help="Turn each person's hand upright, as before a webcam, by one angle a person.")
    ] = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Write several stores as one, of one layout and one vocabulary; a person is called STORE/SUBJECT.

    Clips of labels that the table lacks are left out; in recordings what it lacks is background.

    Example: last-edge data join runs/shrec21 runs/shrec17 --out runs/hands --layout mediapipe_hand21 --upright
    """
    from last_edge.data.join import join_stores
    from last_edge.skeleton import get_layout

    wanted = None if layout is None else get_layout(layout)
    made = join_stores(stores, out, layout=wanted, labels=labels, upright=upright, force=force)
    spans = sum(map(len, made.index.spans))
    screen.emit({"store": str(out), "clips": len(made), "gestures": spans, "classes": len(made.labels),
                 "sha256": made.sha256})  # fmt: skip


def background(
    store: opt.StoreArgument,
    out: opt.Out,
    count: Annotated[int, Option(min=1, help="Clips of the background set.")] = 210,
    between: Annotated[int, Option(min=0, help="Stretches more from between the store's own gestures, by person.")] = 0,
    signing: Annotated[int, Option(min=0, help="Moves more of a hand that signs, for points of a hand alone.")] = 0,
    seed: opt.Seed = 0,
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Write a store's clips with clips of no gesture beside them, as one class more, `background`.

    They are made by synthetic bodies: hands at rest, on their way, busy, signing what no lexicon holds, partly seen.
    --between adds stretches composed of the training clips of one person: at rest, on the way from one gesture to the
    next, motions that no class makes. --signing adds moves drawn about what is typical of seven people who sign words,
    for a model that is to be silent while somebody signs. What a model learns to call `background` never becomes an
    event. Of a store with a test split the same share of the first tests.

    Example: last-edge data background runs/mine/store --out runs/mine/with_background
    """
    from last_edge.clips.store import HEADER, ClipStore
    from last_edge.data.background import add_background, background_clips, signing_clips

    opened = ClipStore.open(store)
    if dry_run:
        check_free(out, force=force, marker=HEADER)
        background_clips(opened.layout, units=opened.units, count=1)
        if signing:
            signing_clips(opened.layout, units=opened.units, count=1)
        more = count + between + signing
        screen.emit({"would_write": str(out), "clips": len(opened) + more, "of background": more})
        return
    made = add_background(opened, out, count=count, between=between, signing=signing, seed=seed, force=force)
    screen.emit({
        "store": str(out), "clips": len(made), "of background": len(made) - len(opened), "classes": len(made.labels),
    })  # fmt: skip


def recordings(
    store: opt.StoreArgument,
    out: opt.Out,
    least_idle: Annotated[float, Option(help="Shortest time between two clips, in seconds.")] = 2.0,
    most_idle: Annotated[float, Option(help="Longest time between two clips, in seconds.")] = 5.0,
    made: Annotated[float, Option(min=0, max=0.9, help="Share of made motions that are no gesture.")] = 0.2,
    moving: Annotated[
        float, Option(min=0, max=0.9, help="A clip's gesture lasts while it moves at this share of its greatest speed.")
    ] = 0.0,
    seed: opt.Seed = 0,
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Write a long recording of each person's clips, idle time and made motions between, with annotated spans.

    A network for streams learns from recordings; so it learns from a store of clips too.

    Example: last-edge data recordings STORE --out RECORDINGS, then train --recipe shrec21_stream --store RECORDINGS
    """
    from last_edge.clips.compose import ComposeOptions, write_recordings
    from last_edge.clips.store import HEADER, ClipStore

    options, opened = ComposeOptions(idle_s=(least_idle, most_idle), made=made, moving=moving), ClipStore.open(store)
    if dry_run:
        check_free(out, force=force, marker=HEADER)
        screen.emit({"would_write": str(out), "people": len(set(opened.index.subject.tolist()))})
        return
    written = write_recordings(opened, out, seed=seed, options=options, force=force)
    spans = sum(map(len, written.index.spans))
    minutes = round(float((written.index.length / written.index.fps).sum()) / 60, 1)
    screen.emit({"store": str(out), "recordings": len(written), "gestures": spans, "minutes": minutes})
