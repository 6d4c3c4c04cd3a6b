"""`last-edge train`, `distill`, `eval`, `models` and `recipes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli import options, stream_command, train_flags, translate_command
from last_edge.tools.cli.output import emit, epoch_progress, make_table, view_progress
from last_edge.tools.cli.train_preview import (
    make_request,
    preview,
    quoted,
    readable,
    resolve_recipe,
    summary,
)
from last_edge.tools.experiments.finetune import finish_bundle

Which = Literal["best", "last", "final"]
Precision = Literal["fp32", "int8"]
WhichOption = Annotated[Which | None, typer.Option("--which", help="Of a run; default best.")]


def train(
    store: train_flags.Store = None,
    out: train_flags.Out = None,
    model: options.ModelName = None,
    recipe: options.RecipeName = None,
    init: options.Init = None,
    finetune: train_flags.Finetune = None,
    set_: options.Set = None,
    more: train_flags.More = None,
    dataset: train_flags.Dataset = None,
    split_type: train_flags.SplitType = None,
    data_root: train_flags.DataRoot = None,
    env: train_flags.Env = None,
    epochs: train_flags.Epochs = None,
    batch_size: train_flags.BatchSize = None,
    lr: train_flags.LearningRate = None,
    min_lr: train_flags.MinLr = None,
    scheduler: train_flags.Scheduler = None,
    weight_decay: train_flags.WeightDecay = None,
    dropout: train_flags.Dropout = None,
    label_smoothing: train_flags.LabelSmoothing = None,
    grad_clip: train_flags.GradClip = None,
    warmup_epochs: train_flags.WarmupEpochs = None,
    early_stopping: train_flags.EarlyStopping = None,
    class_weights: train_flags.ClassWeights = None,
    amp: train_flags.Amp = None,
    workers: train_flags.Workers = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: train_flags.Force = False,
) -> None:
    """Train a model on a store's training split; validation is a part of the training subjects.

    A recipe gives every value, the environment, flags and --set change some, each winning over those before it. The
    same command resumes an interrupted run. The test split is looked at once, at the end. Several processes:
    torchrun --nproc_per_node=2 -m last_edge.tools.cli train ...

    With --finetune a bundle's weights learn the store's own classes, and OUT/bundle is the result, quantised.

    Example: last-edge train --model last_e_nano --store runs/shrec14/store --out runs/shrec14/teacher --recipe shrec17
    """
    values: dict[str, object] = {
        "model.name": model, "model.dropout": dropout, "seed": seed, "training.epochs": epochs,
        "training.batch_size": batch_size, "training.lr": lr, "training.min_lr": min_lr,
        "training.scheduler": scheduler, "training.weight_decay": weight_decay, "training.workers": workers,
        "training.init": quoted(init), "training.label_smoothing": label_smoothing,
        "training.gradient_clip": grad_clip, "training.warmup_epochs": warmup_epochs,
        "training.patience": early_stopping, "training.class_weights": train_flags.CLASS_WEIGHTS[class_weights],
    }  # fmt: skip
    typed = train_flags.Flags(
        values, recipe, (*(set_ or ()), *(more or ())), store, out, dataset, split_type, data_root, env, amp
    )
    choice = train_flags.choose(typed.on_bundle(finetune))
    train_flags.check_store(choice.store, None if store else dataset)
    request = make_request(choice.store, choice.out, choice.recipe, device=device, threads=threads, force=force)
    if dry_run:
        emit(readable(train_flags.describe(choice) | preview(request), json), as_json=json)
        return
    from last_edge.train.processes import is_first
    from last_edge.train.run import run_training

    with epoch_progress("train", quiet=quiet or json or not is_first()) as report:
        final = run_training(request, report=report)
    if is_first():
        made = {} if finetune is None else finish_bundle(choice.out, choice.store, base=finetune,
                                                         limits=choice.recipe.quantize)  # fmt: skip
        emit((final if json else summary(final, choice.out)) | made, as_json=json)


def distill(
    teacher: Annotated[list[Path], typer.Option("--teacher", help="A trained run or checkpoint; several: repeat it.")],
    store: options.Store,
    out: options.Out,
    model: options.ModelName = None,
    recipe: options.RecipeName = None,
    init: options.Init = None,
    set_: options.Set = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Keep the teachers' answers in this folder and learn from them.")
    ] = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Train a small model on labels, on trained teachers' answers and, by the recipe's loss map, on their stages.

    Several teachers answer with the mean of their probabilities. A teacher may be of any size and read other streams or
    another window than the student. The recipe's part `distill` says how the losses are weighed.

    With --cache the teachers answer once and any number of students learn from that. It takes a fixed number of
    augmentations of each clip, --set distill.cache_views=8, and for the stages' maps --set distill.cache_features=true;
    --dry-run says how large it gets.

    Example: last-edge distill --teacher runs/shrec14/teacher --model last_lite_nano --store runs/shrec14/store
    --out runs/shrec14/student --recipe shrec17_kd
    """
    sets = [*([] if cache is None else ["distill.cache=on"]), *(set_ or [])]
    resolved = resolve_recipe(recipe or "kd_nano", model, seed, sets, init=init)
    request = make_request(store, out, resolved, device=device, threads=threads, force=force)
    if dry_run:
        from last_edge.distill.run import describe_distillation

        emit(readable(describe_distillation(request, teacher, cache) | preview(request), json), as_json=json)
        return
    from last_edge.distill.run import ask_once, run_distillation
    from last_edge.train.checkpoint import load_checkpoint
    from last_edge.train.processes import is_first

    ask_once(request, [load_checkpoint(path) for path in teacher], cache, on_view=view_progress(quiet=quiet or json))
    with epoch_progress("distill", quiet=quiet or json or not is_first()) as report:
        final = run_distillation(request, teacher, cache=cache, report=report)
    if is_first():
        emit(final if json else summary(final, out), as_json=json)


def eval(
    artefact: Annotated[Path, typer.Argument(help="A run, a checkpoint or a bundle.")],
    store: options.Store,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    precision: Annotated[Precision | None, typer.Option("--precision", help="Of a bundle; default fp32.")] = None,
    which: WhichOption = None,
    merge_at: Annotated[
        str, typer.Option("--merge-at", help="Add up classes whose names agree before the last such text, as ', '.")
    ] = "",
    threads: options.OwnThreads = None,
    stream: stream_command.Stream = False,
    gestures: stream_command.Gestures = 200,
    unknown: stream_command.Unknown = None,
    decode: stream_command.Decode = "sliding",
    reject: stream_command.Reject = True,
    rest_seconds: stream_command.RestSeconds = 1.5,
    subject: stream_command.People = None,
    beam: Annotated[
        int | None, typer.Option("--beam", min=1, help="Of a translator: hypotheses kept; default: the recipe's.")
    ] = None,
    seed: stream_command.StreamSeed = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure a run or the exported file of a bundle on a split: top-1/3/5, per class, per subject, confusion, ECE.

    With --stream, a bundle's events on long recordings: detection rate, false events a minute, delay. Of a translator:
    BLEU, chrF, word error rate, vocabulary coverage, repetition, and of a run the losses' gap and a verdict.

    Example: last-edge eval runs/shrec14/bundle --store runs/shrec14/store --precision int8
    """
    from last_edge.clips.store import ClipStore

    if stream:
        _refuse("without --stream", {"--merge-at": merge_at, "--which": which, "--beam": beam})
    else:
        _refuse("with --stream", {"--subject": subject, "--unknown": unknown})
    opened = ClipStore.open(store)
    if stream:
        score = stream_command.evaluate(artefact, opened, split=split, precision=precision, threads=threads,
                                        gestures=gestures, unknown=unknown or [], decode=decode, reject=reject,
                                        rest_seconds=rest_seconds, subjects=subject or [], seed=seed)  # fmt: skip
        emit(score, as_json=json, table=lambda: stream_command.table(score))
        return
    if translate_command.is_translator(artefact):
        translate_command.refuse({"--merge-at": bool(merge_at)})
        figures = translate_command.evaluate(artefact, opened, split=split, which=which, precision=precision, beam=beam,
                                             threads=threads)  # fmt: skip
        emit(figures if json else translate_command.readable(figures), as_json=json)
        return
    if beam is not None:
        raise UsageError("--beam is for translators, this gives classes", where=artefact)
    how = {"split": split, "threads": threads, "merge_at": merge_at}
    metrics = _evaluate(artefact, opened, precision=precision, which=which, how=how)
    emit(metrics, as_json=json, table=lambda: _metrics_table(metrics))


def _refuse(how: str, given: dict[str, object]) -> None:
    """`UsageError` for the first option that was given and works only so."""
    for flag, value in given.items():
        if value:
            raise UsageError(f"{flag} works only {how}", got=value, hint="last-edge eval --help")


def models(
    context: typer.Context,
    classes: Annotated[int, typer.Option("--classes", min=2, help="Class count of the last layer.")] = 60,
    layout: Annotated[str, typer.Option("--layout", help="A shipped layout or a layout file.")] = "ntu25",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List every model with its parameters and FLOPs at a class count and layout; `fetch` gets landmark models.

    A model that gives a sentence is counted with 4,000 sub-words and its longest sentence.

    Example: last-edge models --layout shrec22 --classes 14
    """
    if context.invoked_subcommand is not None:
        return
    from last_edge.models.describe import describe_models

    rows = describe_models(layout=layout, classes=classes)
    columns: dict[str, list[Any]] = {key: [row[key] for row in rows] for key in rows[0]}
    emit(rows, as_json=json, table=lambda: make_table(f"{classes} classes, {layout}, 64 frames", columns))


def recipes_ls(json: options.Json = False, verbose: options.Verbose = False) -> None:
    """List the shipped recipes with their launch line.

    Example: last-edge recipes ls
    """
    from last_edge.train.recipe import recipe_files

    lines = {name: path.read_text().splitlines()[0].lstrip("# ") for name, path in recipe_files().items()}
    emit(lines, as_json=json)


def recipes_show(
    name: Annotated[str, typer.Argument(help="A shipped recipe, or a YAML file.")],
    set_: options.Set = None,
    verbose: options.Verbose = False,
) -> None:
    """Print a recipe as it resolves, every value included.

    Example: last-edge recipes show shrec17 --set training.lr=0.001
    """
    from last_edge.train.recipe import dump_recipe, load_recipe

    typer.echo(dump_recipe(load_recipe(name, overrides=set_ or [])), nl=False)


def _evaluate(
    artefact: Path, store: Any, *, precision: Precision | None, which: Which | None, how: dict[str, Any]
) -> dict[str, Any]:
    from last_edge.bundle import Bundle, is_bundle

    if is_bundle(artefact):
        from last_edge.export.proof.evaluate import evaluate_bundle

        if which is not None:
            raise UsageError("--which names a checkpoint of a run; this is a bundle", where=artefact)
        bundle = Bundle.open(artefact)
        return evaluate_bundle(bundle, store, precision=precision or "fp32", **how)
    import torch

    from last_edge.train.evaluate import evaluate_run

    if precision == "int8":
        hint = "last-edge export, last-edge quantize, then eval BUNDLE --precision int8"
        raise UsageError("a run has no INT8 file", where=artefact, hint=hint)
    torch.set_num_threads(max(how.pop("threads") or 1, 1))
    return evaluate_run(artefact, store, which=which or "best", **how)


def _metrics_table(metrics: dict[str, Any]) -> Any:
    keys = ("top1", "top3", "top5", "mean_class", "ece", "n")
    return make_table("evaluation (percent)", {key: [metrics[key]] for key in keys})
