"""`last-edge export | quantize | engine | thresholds | samples`: a run's bundle, and what is added to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from last_edge import records
from last_edge.errors import UsageError
from last_edge.files import check_free, check_writable, write_text, writing
from last_edge.tools.cli import options as opt
from last_edge.tools.output import rows_table, stderr

if TYPE_CHECKING:
    from last_edge.bundle import Manifest
    from last_edge.clips.store import ClipStore
    from last_edge.export.int8.plan import Plan

Targets = Annotated[
    list[str] | None,
    Option("--target", help="Also what tensorrt, tensorrt-rtx or litert takes; repeatable. Checked here."),
]
Run = Annotated[
    Path | None,
    Option(
        "--run",
        help="The bundle's run, to measure on its held-out people; or one of the same model and input that has some, "
        "where the bundle learnt from everybody.",
    ),
]


def export(
    run: Annotated[Path, Argument(metavar="RUN", help="A run, or one of its checkpoints.")],
    out: opt.Out,
    store: opt.MeasureOn = None,
    split: opt.Split = "test",
    dynamic_time: Annotated[bool, Option("--dynamic-time", help="The graph takes clips of any length.")] = False,
    weights: Annotated[bool, Option("--weights", help="Also the float weights, for a training to start from.")] = False,
    hands: Annotated[
        Literal["left", "right", "both"] | None,
        Option(help="Hands in the training data; the other is mirrored. Default: right, of bundles of one hand."),
    ] = None,
    licence: Annotated[str, Option(help="Terms of the weights. Default: those of the store.")] = "",
    opset: Annotated[int, Option(help="Operator set of the graph, 17 to 20, for older runtimes.")] = 20,
    plain: Annotated[bool, Option("--plain", help="Only the graph as trained, to compare; --out F.onnx.")] = False,
    target: Targets = None,
    threads: opt.Threads = 1,
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Write a run's best checkpoint as a bundle: one ONNX graph from raw landmarks to logits, with its manifest.

    Ends in exit code 4, and writes nothing, when the graph does not compute what the model does. --target tensorrt
    adds, with a store, an INT8 graph in TensorRT's format and tells what to type on the device; tensorrt-rtx builds the
    engine too; litert adds a .tflite file.

    Example: last-edge export runs/shrec14/student --out runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.bundle import Bundle
    from last_edge.export.bundles.bundle_writer import export_run, preview_export
    from last_edge.export.targets.deploy import add_targets, known_targets
    from last_edge.tasks.task import check_options
    from last_edge.train.checkpoint import task_of_run

    asked = {"--dynamic-time": dynamic_time, "--weights": weights, "--plain": plain, "--target": target,
             "--hands": hands, "--opset": opset != 20}  # fmt: skip
    check_options(task_of_run(run), asked, where=run)
    if plain:
        screen.emit(export_plain(run, out, dry_run=dry_run, force=force))
        return
    opened, targets = opt.open_store(store), known_targets(target or [])
    if dry_run:
        about = preview_export(run, out, store=opened, split=split, weights=weights, force=force)
        screen.emit({**about, **({"targets": targets} if targets else {})})
        return
    opt.torch_threads(threads)
    manifest = export_run(
        run, out, store=opened, split=split, threads=threads, dynamic_time=dynamic_time, weights=weights,
        hands=hands or "", licence=licence, opset=opset, force=force,
    )  # fmt: skip
    if not targets:
        show_bundle(manifest, out, screen)
        return
    added = add_targets(out, run, targets, store=opened, split=split, threads=threads)
    show_bundle(Bundle.open(out).manifest, out, screen, targets=added)
    if not screen.json:
        screen.emit(added)


def export_plain(run: Path, out: Path, *, dry_run: bool, force: bool) -> dict[str, Any]:
    """The run's graph without folding, as one ONNX file."""
    from last_edge.export.onnx.onnx_graph import plain_onnx
    from last_edge.train.checkpoint import load_checkpoint

    check_free(out, force=force)
    checkpoint = load_checkpoint(run)
    if dry_run:
        return {"would_write": str(out), "model": checkpoint.card.name}
    graph = plain_onnx(checkpoint.model, labels=checkpoint.labels, name=checkpoint.card.name)
    with writing(out) as stream:
        stream.write(graph)
    return {"file": str(out), "bytes": len(graph)}


def show_bundle(manifest: Manifest, path: Path, screen: opt.Screen, **more: Any) -> None:
    """A bundle's figures, a row a precision; as JSON the whole manifest and what else is known."""
    rows = [{"precision": name, **manifest.metrics.get(name, {})} for name in manifest.precisions or manifest.metrics]
    shown = [{name: value for name, value in row.items() if name != "store_sha256"} for row in rows]
    whole = {"bundle": str(path), "manifest": records.to_dict(manifest), **more}
    screen.emit(whole, table=lambda: rows_table(str(path), shown))


def engine(
    bundle: opt.BundlePath,
    flavour: Annotated[
        Literal["tensorrt", "tensorrt-rtx"], Option(help="For Jetson and data-centre cards, or RTX cards.")
    ] = "tensorrt",
    precision: Annotated[
        str | None, Option(help="int8, fp16 or fp32. Default: int8 where its graph is there, else fp32.")
    ] = None,
    max_batch: Annotated[int, Option(min=1, help="Most clips in one call.")] = 16,
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Check that TensorRT takes a bundle's graph, build the engine and put it into the bundle.

    int8 takes the graph of `quantize --target tensorrt`; fp16 is made of the FP32 graph, whose raw points stay float32.
    tensorrt builds on the device that the engine is for; elsewhere the command prints what to type there and ends in
    exit code 5. tensorrt-rtx builds ahead of time on any machine. A graph that breaks a rule ends in exit code 4.

    Example: last-edge engine runs/shrec14/bundle --flavour tensorrt-rtx
    """
    from last_edge.export.targets.tensorrt import add_graph, build_engine, on_device, plan_engine, why_not

    if not dry_run:
        check_writable(bundle, option="BUNDLE")
    plan = plan_engine(bundle, flavour=flavour, precision=precision, most=max_batch, force=force)
    about = {"engine": plan.target, "source": plan.source, "checked": plan.checked}
    if dry_run or why_not(plan.backend):
        screen.emit({**about, "built": False, "on the device": on_device(plan)})
        if dry_run:
            return
        add_graph(plan)
    manifest = build_engine(plan)
    size = len(type(plan.bundle).open(bundle).read(plan.target))
    screen.emit({**about, "built": True, "bytes": size, **manifest.engines[plan.target]})


KeepFloat = Annotated[
    list[str] | None,
    Option("--keep-float", help="Node of the FP32 graph, repeatable; auto: the most sensitive that fit."),
]


def quantize(
    bundle: opt.BundlePath,
    store: opt.Store,
    more: opt.More = None,
    recipe: opt.RecipeName = None,
    set_: opt.Set = None,
    target: Annotated[str, Option(help="cpu-vnni, arm64, tensorrt or web.")] = "cpu-vnni",
    method: Annotated[str | None, Option(help="auto, minmax, percentile or entropy; default: the recipe's.")] = None,
    percentile: Annotated[float | None, Option(help="With that method: percent of values inside.")] = None,
    clips: Annotated[int | None, Option(min=1, help="Most calibration clips, drawn by class.")] = None,
    keep_float: KeepFloat = None,
    latency_budget: Annotated[float, Option(min=1.0, help="With auto: times the all-INT8 latency.")] = 1.1,
    qat: Annotated[bool, Option("--qat", help="Train the rounded weights on the train split.")] = False,
    teacher: Annotated[
        Path | None, Option(callback=opt.in_zoo, help="With --qat: a bundle that teaches; default: itself.")
    ] = None,
    epochs: Annotated[int, Option(min=1, help="Of --qat.")] = 3,
    run: Annotated[Path | None, Option(help="The bundle's run: choices are made on its held-out people.")] = None,
    seed: opt.Seed = 0,
    split: opt.Split = "test",
    compare: Annotated[bool, Option("--compare", help="Only a table of variants; writes nothing but --out.")] = False,
    out: Annotated[Path | None, Option(help="With --compare: a Markdown file for the table.")] = None,
    threads: opt.Threads = 1,
    dry_run: opt.DryRun = False,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Add a static INT8 graph to a bundle, ranges from its store's training split, and measure both graphs.

    Ends in exit code 4, with the table, and leaves the bundle as it was, when accuracy, agreement, worst class, size or
    speed miss the recipe's limits (`quantize.*`). What is chosen, is chosen on people of the training split.
    A translator gets an INT8 encoder and, if it passes too, decoder, held to the limits on sentences of the val split.

    Example: last-edge quantize runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.clips.store import ClipStore
    from last_edge.export.int8.plan import Plan
    from last_edge.export.int8.qat import QatOptions
    from last_edge.export.int8.quantize_bundle import preview_quantize, quantize_bundle
    from last_edge.train.recipe import load_recipe

    changes = {"method": method, "percentile": percentile, "clips": clips}
    sets = [*(set_ or ()), *(more or ())]
    sets += [f"quantize.{name}={value}" for name, value in changes.items() if value is not None]
    limits = load_recipe(recipe, overrides=sets).quantize
    if percentile is not None and limits.method != "percentile":
        raise UsageError("--percentile is of --method percentile", got=limits.method, hint="--method percentile")
    plan = Plan.of(
        limits, target=target, keep_float=keep_float or (), latency_budget=latency_budget, run=run, seed=seed,
        qat=QatOptions(epochs=epochs, seed=seed) if qat else None, teacher=teacher,
    )  # fmt: skip
    opened = ClipStore.open(store)
    if compare:
        compare_variants(bundle, opened, plan, out=out, threads=threads, force=force, dry_run=dry_run, screen=screen)
        return
    if dry_run:
        screen.emit(preview_quantize(bundle, opened, plan, split=split, force=force))
        return
    check_writable(bundle, option="BUNDLE")
    made = quantize_bundle(
        bundle, opened, plan, split=split, threads=threads, force=force,
        report=lambda name, rows: None if screen.quiet else stderr().print(rows_table(name, rows)),
    )  # fmt: skip
    gates = [gate.row() for gate in made.gates]
    show_bundle(made.manifest, bundle, screen, gates=gates, tables=made.tables)
    if not screen.json:
        screen.emit({}, table=lambda: rows_table("gates", gates))


def compare_variants(
    bundle: Path, store: ClipStore, plan: Plan, *, out: Path | None, threads: int, force: bool, dry_run: bool,
    screen: opt.Screen,
) -> None:  # fmt: skip
    """The table of variants, on the screen and, with --out, in a file with the command that made it."""
    from last_edge.export.int8.recogniser_int8 import METHODS, compare_bundle, markdown

    opt.check_out(out, force=force)
    if dry_run:
        screen.emit({"variants": f"{len(METHODS)} or {len(METHODS) + 1}", "would_write": str(out or "nothing")})
        return
    compared = compare_bundle(
        bundle, store, plan.options, count=plan.count, seed=plan.seed, run=plan.run, threads=threads,
        report=lambda row: stderr().print(row),
    )  # fmt: skip
    if out is not None:
        write_text(out, markdown(compared))
    title = f"{bundle.name}: {compared.judging} clips of {', '.join(compared.subjects) or 'the val split'} judge"
    screen.rows(compared.rows, title=title)


def thresholds(
    bundle: opt.BundlePath,
    store: opt.MeasureOn = None,
    run: Run = None,
    held_out: Annotated[str, Option(help="Instead of --run: people whom the weights never saw, comma-separated.")] = "",
    gestures: Annotated[int, Option(min=1, help="Most clips of held-out people.")] = 200,
    background: Annotated[int, Option(min=0, help="Clips of the background set, where the layout has one.")] = 210,
    more: Annotated[Path | None, Option(help="A store of further clips in which no gesture is made.")] = None,
    threads: opt.Threads = 1,
    seed: opt.Seed = 0,
    dry_run: opt.DryRun = False,
    screen: opt.Screen = opt.SCREEN,
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
    opened = opt.open_store(store)
    if opened is None:
        raise UsageError("people's clips are needed to fit thresholds", expected="--store STORE --run RUN")
    people = opt.names_of(held_out)
    from last_edge.tools.operating import Measure, fit_thresholds, judging_clips

    measure = Measure(gestures=gestures, background=background, more=opt.open_store(more), seed=seed)
    if dry_run:
        clips = judging_clips(Bundle.open(bundle), opened, run, people)
        screen.emit({"would_write": str(bundle), "clips_of_held_out_people": len(clips)})
        return
    check_writable(bundle, option="BUNDLE")
    fitted = fit_thresholds(
        bundle, opened, run=run, people=people, measure=measure, threads=threads, report=screen.note
    )
    show(fitted, screen)


def samples(
    bundle: opt.BundlePath, store: opt.Store, dry_run: opt.DryRun = False, screen: opt.Screen = opt.SCREEN
) -> None:
    """Put typical motions of its classes into a bundle, to play with `run --source samples`, and a picture of them.

    A typical motion is the mean of the clips of all training people of a store, for a network for streams of what is
    annotated in recordings, so it is nobody's recording; a class that fewer than two people show gets none. The card
    shows the picture, an SVG of moving skeletons.

    Example: last-edge samples runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.bundle import Bundle
    from last_edge.bundle.manifest import PICTURE, SAMPLES

    opened = opt.open_store(store)
    assert opened is not None
    if dry_run:
        Bundle.open(bundle)
        screen.emit({"would_write": str(bundle), "files": [SAMPLES, PICTURE]})
        return
    check_writable(bundle, option="BUNDLE")
    from last_edge.export.bundles.samples import add_samples

    manifest = add_samples(bundle, opened)
    screen.emit({"bundle": str(bundle), "files": [name for name in (SAMPLES, PICTURE) if name in manifest.files]})


def show(manifest: Manifest, screen: opt.Screen) -> None:
    """Thresholds and curves; as JSON both whole."""
    if not manifest.operating and not screen.json:
        made = "last-edge thresholds BUNDLE --store STORE --run RUN makes one"
        rules = "it goes by rules for spans, which last-edge fit-spans RUN --store STORE finds"
        typer.echo(f"no curve; {rules if manifest.stream else made}")
        return
    rows: list[dict[str, Any]] = [
        {"decode": decode, **{name: value for name, value in row.items() if name != "stated"},
         "default": "yes" if row.get("stated") else ""}
        for decode, curve in sorted(manifest.operating.items()) for row in curve
    ]  # fmt: skip
    whole = {"thresholds": manifest.thresholds, "operating": {name: list(c) for name, c in manifest.operating.items()}}
    screen.emit(whole, table=lambda: rows_table(manifest.name, rows))
