"""`last-edge bench`: speed of exported files, of training, of recordings played live; memory, start, best settings."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Annotated, Any, Literal

from typer import Argument, Option

from last_edge import records
from last_edge.errors import UsageError
from last_edge.files import locked, write_text
from last_edge.tools.cli import options as opt
from last_edge.tools.output import make_table

PAGES = (".json", ".md")
Backends = Annotated[
    list[str] | None, Option("--backend", help="Repeatable; all: every one here. Default: onnxruntime-cpu.")
]
Threads = Annotated[
    list[int] | None, Option("--threads", min=1, help="Threads of the model; repeatable. Default: the bundle's.")
]
Plain = Annotated[list[Path] | None, Option("--plain", help="An ONNX file, exported naively, to compare; repeatable.")]
Models = Annotated[str | None, Option("--models", help="Names, comma-separated; default: all of LAST-E and -Lite.")]
TrainSettings = Annotated[
    str,
    Option(
        "--settings", help="Comma-separated, parts joined by +: plain, bf16, fp16, fused, compile, batch=N, threads=N."
    ),
]
Sources = Annotated[
    list[str] | None,
    Option("--source", help="Any source of `run` that has an end, or a folder of recordings; repeatable."),
]


def bench(
    bundles: Annotated[
        list[Path],
        Argument(
            metavar="BUNDLE",
            callback=opt.in_zoo,
            help="Bundle folders, .last files, names of the zoo or bare .onnx files.",
        ),
    ],
    precision: opt.Precisions = None,
    backend: Backends = None,
    threads: Threads = None,
    plain: Plain = None,
    usual: Annotated[bool, Option("--usual", help="Leave what `bench tune` found for a bundle alone.")] = False,
    repeats: opt.Repeats = 10,
    calls: Annotated[int, Option(min=1, help="Timed calls a file and round.")] = 50,
    max_ms: Annotated[float | None, Option(help="Fail (exit 4) when a p50 is above this.")] = None,
    people: Annotated[int, Option(min=1, help="Of a stream: so many people answered in one call.")] = 1,
    clock: Annotated[
        Literal["wall", "processor"], Option(help="processor: the one thread's own time, that others do not lengthen.")
    ] = "wall",
    memory: Annotated[bool, Option("--memory/--no-memory", help="Measure memory, a process a file.")] = True,
    out: opt.OutFile = None,
    peers: Annotated[
        bool, Option("--peers", help="Also ST-GCN and others at the first bundle's joints and frames, untrained.")
    ] = False,
    share: Annotated[
        Path | None, Option(help="Write machine and figures to this .json, to share; nothing is sent.")
    ] = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Measure exported files in backends with thread counts, interleaved in one process, batch 1, on golden clips.

    Accuracy beside a row is that of the very same file, from the bundle's manifest. `faster` is against the FP32 file
    of the same bundle, backend and threads, and against a --plain file of the same input. Of a translator: the encoder,
    one step of the decoder after 12 sub-words, and a sentence of 12. Of a stream: one frame.

    With --peers what others use is timed in the same turns, by drawn weights; `bench peers` trains them.
    `bench formats` compares a network as trained, exported and in INT8, `bench train` measures training, `bench live`
    recordings played in real time, `bench soak` the memory of a long run, `bench start` the first label of a fresh
    process; `bench tune` finds the fastest settings. A bundle of such a name is ./train.

    Example: last-edge bench runs/demo/bundle --threads 1 --out runs/demo/bench.json
    """
    from last_edge.timing import Schedule
    from last_edge.tools.bench.record import bench_table, save_records, save_shared
    from last_edge.tools.bench.run import bench_bundles
    from last_edge.tools.bench.subjects import BenchOptions

    opt.check_out(out, share, force=force)
    chosen = BenchOptions(
        tuple(precision or ()), threads=tuple(threads or ()), backends=tuple(backend or ("onnxruntime-cpu",)),
        plain=tuple(plain or ()), usual=usual, memory=memory, people=people, clock=clock,
        schedule=Schedule(rounds=repeats, calls=calls),
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        others: list[Path] = []
        if peers:
            from last_edge.tools.bench.peers import drawn_peers, peer_names

            with screen.status("exporting peers"):
                others = drawn_peers(bundles[0], Path(folder), peer_names(()))
        rows = bench_bundles([*bundles, *others], chosen)
    if out is not None:
        save_records(rows, out)
    if share is not None:
        save_shared(rows, share)
        screen.note(f"{share}: look it over and send it in as an issue; nothing has left this machine")
    if slowed := next((row.slowed for row in rows if row.slowed), ""):
        screen.note(f"note: this processor was slowed while it was timed: {slowed}; these figures count for nothing")
    screen.emit([records.to_dict(row) for row in rows], table=lambda: bench_table(rows))
    opt.check_limit("slower than allowed", {row.file: row.p50_ms for row in rows}, max_ms, "ms", what="p50")


def train(
    models: Models = None,
    peers: Annotated[bool, Option("--peers", help="Also ST-GCN, CTR-GCN and others beside the models.")] = False,
    store: Annotated[Path | None, Option(help="A clip store; default: synthetic signs, made for it.")] = None,
    settings: TrainSettings = "plain,fused,bf16,compile,bf16+fused,bf16+fused+compile",
    recipe: opt.RecipeName = None,
    set_: opt.Set = None,
    more: opt.More = None,
    batch_size: Annotated[int | None, Option(min=1, help="training.batch_size")] = None,
    threads: Annotated[int, Option(min=1, help="Processor threads.")] = 1,
    repeats: opt.Repeats = 5,
    steps: Annotated[int, Option(min=1, help="Timed steps a turn.")] = 2,
    warm_up: Annotated[int, Option(min=0, help="Untimed steps after each lane's first.")] = 1,
    device: opt.Device = "auto",
    out: opt.OutFiles = None,
    join: opt.Join = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Measure clips per second of training, by model and setting, with the share of time spent waiting for data.

    Every step is one of `last-edge train`: reading, augmentation, forward, backward, optimiser. All lanes take turns in
    one process; the ratio is to plain settings (float32, unfused, not compiled) of the same model in the same round.
    Compiling by torch.compile counts as first step. What this machine cannot do is shown with the reason. With --join
    and without --models nothing is measured.

    Example: last-edge bench train --models last_e_nano,last_lite_nano --recipe shrec17 --out training.md
    """
    from last_edge.timing import Schedule
    from last_edge.tools.bench import train as measuring
    from last_edge.tools.bench.record import load_records
    from last_edge.train.processes import resolve_device

    opt.check_out(*(out or ()), force=force, kinds=PAGES)
    rows = [row for path in join or [] for row in load_records(path, measuring.TrainRecord)]
    if models is not None or not rows:
        sets = (*(set_ or ()), *(more or ()), *([f"training.batch_size={batch_size}"] if batch_size else []))
        schedule = Schedule(rounds=repeats, calls=steps, warm_up=warm_up)
        parsed = tuple(measuring.parse_settings(opt.names_of(settings)))
        with (
            TemporaryDirectory() as work,
            measuring.synthetic_store() if store is None else nullcontext(store) as clips,
            screen.status("making lanes") as notify,
        ):
            conditions = measuring.Conditions(
                clips, Path(work), recipe=recipe, sets=sets, threads=threads, device=resolve_device(device)
            )
            named = opt.names_of(models) or measuring.family()
            if peers:
                from last_edge.tools.bench.peers import PEERS, register

                register()
                named = (*named, *PEERS)
            asked = measuring.TrainBench(named, parsed, schedule, conditions, opt.command_line("bench"))
            rows += measuring.bench_training(asked, notify)
    write_pages(rows, out, of=measuring)
    show(rows, of=measuring, screen=screen)


def formats(
    models: Annotated[str, Option(help="Names, comma-separated.")] = "last_lite_nano,last_e_nano",
    activations: Annotated[str, Option(help="Of the models; comma-separated; own: as they are.")] = "relu,hardswish",
    layouts: Annotated[str, Option(help="Whose joints; comma-separated.")] = "shrec22,ntu25",
    frames: Annotated[int, Option(min=8, help="Of a window.")] = 64,
    classes: Annotated[int, Option(min=2, help="How many labels.")] = 14,
    threads: Annotated[int, Option(min=1, help="Of the model.")] = 1,
    repeats: opt.Repeats = 15,
    calls: Annotated[int, Option(min=1, help="Timed calls a form and round.")] = 30,
    out: opt.OutFiles = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Time each network as it was trained, in the form that `export` ships and in INT8, by drawn weights, in turns.

    On one thread it is that thread's own processor time, so that other programs count less; the process is kept on as
    many cores as it has threads.

    Example: last-edge bench formats --out formats.md --out formats.json
    """
    from last_edge.timing import Schedule
    from last_edge.tools.bench import formats as measuring

    opt.check_out(*(out or ()), force=force, kinds=PAGES)
    asked = measuring.FormatsBench(
        models=opt.names_of(models), activations=opt.names_of(activations), layouts=opt.names_of(layouts),
        frames=frames, classes=classes, threads=threads, schedule=Schedule(rounds=repeats, calls=calls),
        command=opt.command_line("bench"),
    )  # fmt: skip
    with screen.status("making graphs") as notify:
        rows = measuring.bench_formats(asked, notify)
    write_pages(rows, out, of=measuring)
    show(rows, of=measuring, screen=screen)


def tune(
    bundle: opt.BundlePath,
    precision: opt.Precisions = None,
    threads: Annotated[
        list[int] | None, Option(min=1, help="To try; repeatable. Default: 1, 2, 4 … every core.")
    ] = None,
    spin: Annotated[
        bool, Option("--spin", help="Also try threads that spin: on a device that does only this.")
    ] = False,
    dry_run: opt.DryRun = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Try threads, memory arena and bound buffers in ONNX Runtime, and keep the fastest set in the bundle's manifest.

    run, eval and bench use it from then on. It changes how fast a graph runs, never what it computes, and is kept only
    where it beats the usual settings again in a second measurement. Hashes and seal are written anew.

    Example: last-edge bench tune runs/shrec14/bundle
    """
    from last_edge.tools.bench.tune import TuneOptions, keep, tune_bundle

    found = tune_bundle(bundle, TuneOptions(tuple(precision or ()), tuple(threads or ()), spin))
    if not dry_run:
        keep(bundle, found)
    rows = [
        {"precision": result.precision, **result.to_figures(), "tried": len(result.tried),
         "gain": round(result.usual_ms / result.p50_ms, 3)}
        for result in found
    ]  # fmt: skip
    names = ("precision", "threads", "spin", "arena", "buffers", "p50_ms", "usual_p50_ms", "gain", "tried")
    columns = {name: [row[name] for row in rows] for name in names}
    screen.emit({"kept": not dry_run, "rows": rows}, table=lambda: make_table(str(bundle), columns))


def live(
    bundle: Annotated[
        Path | None,
        Argument(metavar="[BUNDLE]", callback=opt.in_zoo, help="Bundle folder, .last file or name of the zoo."),
    ] = None,
    source: Sources = None,
    precision: opt.Graph = None,
    landmarks: opt.Landmarks = "auto",
    hand: opt.Hand = "first",
    join: opt.Join = None,
    max_ours: Annotated[
        float | None, Option(help="Fail (exit 4) when our percentage of a frame is above this.")
    ] = None,
    out: opt.OutFiles = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Play recordings at their own rate and give p50, p95 and p99 of each stage, what waited and what was dropped.

    With --join and without BUNDLE nothing is played: records are shown, or put together in a page.

    Example: last-edge bench live zoo/last_lite_nano_shrec14 --source clips --out live.json --out live.md
    """
    from last_edge.runtime.pipeline.run import RunOptions
    from last_edge.tools.bench import live as measuring
    from last_edge.tools.bench.record import load_records

    if (bundle is None) != (not source) or (bundle is None and not join):
        raise UsageError("what is played?", expected="BUNDLE with --source, or --join FILE.json")
    opt.check_out(*(out or ()), force=force, kinds=PAGES)
    rows = [row for path in join or [] for row in load_records(path, measuring.LiveRecord)]
    if bundle is not None:
        chosen = RunOptions(precision=precision, detector=None if landmarks == "auto" else landmarks, hand=hand)
        notify = (lambda text: None) if screen.json else screen.note
        rows += measuring.bench_live(
            bundle,
            measuring.live_sources(source or []),
            options=chosen,
            command=opt.command_line("bench"),
            notify=notify,
        )
    write_pages(rows, out, of=measuring)
    show(rows, of=measuring, screen=screen)
    opt.check_limit("recognition takes too much of a frame", {row.source: row.ours for row in rows}, max_ours, "%")


def peers(
    store: opt.Store,
    out: Annotated[Path, Option(help="Folder of the runs, the ONNX files, peers.json and peers.md.")],
    models: Annotated[
        str | None,
        Option(
            help="st_gcn, ctr_gcn, dd_net_small, dd_net, gru, lstm, or a model of `last-edge models`; comma-separated. "
            "Default: the six."
        ),
    ] = None,
    recipe: opt.RecipeName = "shrec17",
    set_: opt.Set = None,
    threads: Annotated[int, Option(min=1, help="Processor threads.")] = 1,
    device: opt.Device = "auto",
    dry_run: opt.DryRun = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Train what others recognise skeletons with by one recipe, export each, measure and time the exported files.

    The same windows, augmentation, validation people and schedule for all; interrupted, the same command goes on. All
    that OUT holds, from earlier commands too, is timed in turns with the rest and stands in the table.

    Example: last-edge bench peers --store runs/shrec14/store --models dd_net,gru,lstm --out runs/peers
    """
    from last_edge.tools.bench import peers as measuring
    from last_edge.tools.bench.record import load_records
    from last_edge.train.processes import resolve_device
    from last_edge.train.recipe import load_recipe

    names, chosen = measuring.peer_names(opt.names_of(models), own=True), load_recipe(recipe, overrides=set_ or [])
    if dry_run:
        screen.emit({"peers": list(names), "epochs": chosen.training.epochs, "out": str(out)})
        return
    opt.torch_threads(threads)
    kept = out / "peers.json"
    with locked(kept):
        done = {row.name: row for row in load_records(kept, measuring.PeerRecord)} if kept.is_file() else {}
        for name in names:
            with screen.epochs(name) as report:
                made = measuring.train_peer(
                    name, chosen, store, out, device=resolve_device(device), command=opt.command_line("bench"),
                    report=report,
                )  # fmt: skip
            done[name] = made
            write_pages(list(done.values()), [kept], of=measuring)
        with screen.status("timing"):
            rows = measuring.time_peers(list(done.values()), out)
        write_pages(rows, [kept, out / "peers.md"], of=measuring)
    show(rows, of=measuring, screen=screen)


def soak(
    bundle: opt.BundlePath,
    source: opt.SourceName,
    minutes: Annotated[float, Option(min=0.01, help="How long to play the source.")] = 30.0,
    precision: opt.Graph = None,
    landmarks: opt.Landmarks = "auto",
    send: opt.Send = None,
    on: opt.On = None,
    max_slope: Annotated[float | None, Option(help="Fail (exit 4) when memory grows by more MB an hour.")] = None,
    out: opt.OutFile = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Play a source again and again in real time through all of `run` and tell how memory grows, in MB an hour, and
    how many files are open and threads alive; --send and --on attach actions as in `run`.

    The first third, at most five minutes, counts as warming up. A live source has no end and cannot be looped.

    Example: last-edge bench soak zoo/last_lite_nano_utd27 --source store:runs/utd/store --max-slope 1
    """
    from last_edge.bundle import Bundle
    from last_edge.runtime.actions.deliver import Delivery, command_of, destination_of
    from last_edge.runtime.pipeline.run import RunOptions
    from last_edge.tools.bench import live

    opt.check_out(out, force=force)
    chosen = RunOptions(precision=precision, detector=None if landmarks == "auto" else landmarks)
    labels = Bundle.open(bundle).manifest.labels if on else ()
    destinations = [*map(destination_of, send or ()), *(command_of(text, labels) for text in on or ())]
    with Delivery(destinations, notice=screen.note) as deliver:
        record = live.soak(
            bundle, source, minutes=minutes, options=chosen, on_event=deliver, actions=(*(send or ()), *(on or ()))
        )
    if out is not None:
        write_text(out, records.to_json(record))
    columns = {
        "minutes": [record.minutes],
        "frames": [record.run["frames"]],
        "dropped": [sum(record.run["dropped"].values())],
        "MB at start, settled, end": [", ".join(map(str, record.mb_at))],
        "MB an hour": [record.mb_per_hour],
        "open files": [" to ".join(map(str, record.handles))],
        "threads": [" to ".join(map(str, record.threads))],
        "load": [" to ".join(map(str, record.load))],
    }
    title = f"{record.run['model']}, {record.run['precision']}, {record.run['source']}"
    screen.emit(records.to_dict(record), table=lambda: make_table(title, columns))
    opt.check_limit("memory grows", {"": record.mb_per_hour}, max_slope, "MB an hour")


def start(
    bundle: opt.BundlePath,
    precision: opt.Graph = None,
    repeats: opt.Repeats = 5,
    max_import_ms: Annotated[float | None, Option(help="Fail (exit 4) when importing takes longer, as median.")] = None,
    max_label_ms: Annotated[
        float | None, Option(help="Fail (exit 4) when the first label comes later, median.")
    ] = None,
    out: opt.OutFile = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Time fresh processes: the import of the runtime, and `last-edge run` up to its first prediction on made points.

    Example: last-edge bench start zoo/last_lite_nano_shrec14 --max-import-ms 300 --max-label-ms 400
    """
    from last_edge.tools.bench.live import bench_start

    opt.check_out(out, force=force)
    record = bench_start(bundle, precision=precision, rounds=repeats)
    if out is not None:
        write_text(out, records.to_json(record))
    columns: dict[str, list[Any]] = {
        "": ["import of the runtime", f"first label ({record.first_label})"],
        "median ms": [record.import_ms, record.label_ms],
        "slowest ms": [record.import_slowest_ms, record.label_slowest_ms],
        "of the processor, median ms": [record.import_processor_ms, record.label_processor_ms],
    }
    load = " to ".join(map(str, record.load))
    title = f"{record.bundle}, {record.precision}: {record.rounds} processes, load {load}"
    screen.emit(records.to_dict(record), table=lambda: make_table(title, columns))
    opt.check_limit("importing the runtime takes too long", {"": record.import_ms}, max_import_ms, "ms")
    opt.check_limit("the first label takes too long", {"": record.label_ms}, max_label_ms, "ms")


def write_pages(rows: Sequence[Any], paths: Sequence[Path] | None, *, of: ModuleType) -> None:
    """Records as .json and as a page, whichever is asked for. of: the module that measured them."""
    from last_edge.tools.bench.record import save_records

    for path in paths or ():
        if path.suffix == ".json":
            save_records(rows, path)
        else:
            write_text(path, of.to_markdown(rows))


def show(rows: Sequence[Any], *, of: ModuleType, screen: opt.Screen) -> None:
    """Records as a table: below where each was measured, the columns of its page. of: the module that measured them."""

    def table() -> Any:
        title = "\n".join(dict.fromkeys(map(of.where, rows)))
        return make_table(title, {name: [text(row) for row in rows] for name, text in of.COLUMNS.items()})

    screen.emit([records.to_dict(row) for row in rows], table=table)
