"""`last-edge train`, `distill` and `pretrain maskclr`: one training each."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from last_edge.errors import UsageError
from last_edge.tools.cli.options import SCREEN, DryRun, Force, Out, Screen, in_zoo
from last_edge.tools.cli.training import Flags, announce, choose, held_memory, preview, readable, summary
from last_edge.tools.output import view_progress

RunOut = Annotated[Path | None, Option("--out", help="Where the run goes; default: runs/STORE/MODEL.")]
Finetune = Annotated[
    Path | None,
    Option(
        "--finetune",
        callback=in_zoo,
        help="Start from this bundle's weights (`export --weights`) and make a bundle of the result.",
    ),
]
AsBundle = Annotated[
    bool, Option("--bundle", help="Make OUT/bundle of the result, with INT8 where it passes the limits.")
]
Anew = Annotated[bool, Option("--force", "--force-fresh", help="Start anew and replace what is there.")]


def train(
    flags: Flags,
    out: RunOut = None,
    finetune: Finetune = None,
    bundle: AsBundle = False,
    dry_run: DryRun = False,
    force: Anew = False,
    screen: Screen = SCREEN,
) -> None:
    """Train a model on a store's training split; validation is a part of the training subjects.

    A recipe gives every value, the environment, flags and --set change some, each winning over those before it. The
    test split is looked at once, at the end. Several processes:
    torchrun --nproc_per_node=2 -m last_edge.tools.cli train ...

    The same command resumes an interrupted run. With another rate, smoothing, clip, loss, schedule or augmentation, or
    more epochs, it goes on with these from there, and RUN/changes.jsonl says so; a finished run, with more epochs.

    With --bundle the result is exported and quantised at once, to OUT/bundle. With --finetune, too, and a bundle's
    weights learn the store's own classes.

    Example: last-edge train --model last_e_nano --store runs/shrec14/store --out runs/shrec14/teacher --recipe shrec17
    """
    choice = choose(flags.on_bundle(finetune), out=out)
    from last_edge.tasks.registry import RECOGNITION, task_of

    request = choice.request(force=force, may_change=True)
    if bundle and task_of(choice.recipe.model.name) is not RECOGNITION:
        hint = f"last-edge export {choice.out} --out BUNDLE, then last-edge quantize"
        raise UsageError("--bundle is for recognisers", got=choice.recipe.model.name, hint=hint)
    if dry_run:
        screen.emit(readable(choice.describe() | preview(request), screen.json))
        return
    from last_edge.tools.experiments.finetune import finish_bundle
    from last_edge.train.processes import is_first
    from last_edge.train.run import run_training

    announce(request, screen)
    with screen.epochs("train") as report:
        final = run_training(request, report=report)
    if not is_first():
        return
    made: dict[str, Any] = {}
    if bundle or finetune is not None:
        made = finish_bundle(choice.out, choice.store, base=finetune, limits=choice.recipe.quantize)
    screen.emit((final if screen.json else summary(final, choice.out)) | made)


def distill(
    out: Out,
    flags: Flags,
    teacher: Annotated[
        list[Path] | None,
        Option(callback=in_zoo, help="A trained run, or a bundle with float weights; several: repeat it."),
    ] = None,
    answers: Annotated[Path | None, Option(help="Instead of --teacher: answers of teachers elsewhere.")] = None,
    cache: Annotated[Path | None, Option(help="Keep the teachers' answers in this folder and learn from them.")] = None,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Train a small model on labels, on trained teachers' answers and, by the recipe's loss map, on their stages.

    Several teachers answer with the mean of their probabilities. A teacher may be of any size and read other streams or
    another window than the student. The recipe's part `distill` says how the losses are weighed.

    With --cache the teachers answer once and any number of students learn from that. It takes a fixed number of
    augmentations of each clip, --set distill.cache_views=8, and for the stages' maps --set distill.cache_features=true;
    --dry-run says how large it gets. With --answers a finished cache stands for teachers that are elsewhere.

    Example: last-edge distill --teacher runs/shrec14/teacher --model last_lite_nano --store runs/shrec14/store
    --out runs/shrec14/student --recipe shrec17_kd
    """
    teachers = teacher or []
    if bool(teachers) == (answers is not None):
        expected = "--teacher RUN or --answers FOLDER" + (", not both" if teachers else "")
        raise UsageError("who teaches?", expected=expected, hint="last-edge distill --help")
    if answers is not None and cache is not None:
        raise UsageError("--answers are there, --cache is for those still to be asked for", hint="one of them")
    cached: dict[str, object] = {} if cache is None else {"distill.cache": "on"}
    choice = choose(dataclasses.replace(flags, base=cached), out=out, recipe="kd_nano")
    request = choice.request(force=force, may_change=True)
    if dry_run:
        from last_edge.distill.run import describe_distillation

        teaching = describe_distillation(request, teachers, cache=cache, answers=answers)
        screen.emit(readable(teaching | preview(request), screen.json))
        return
    from last_edge.distill.run import ask_once, run_distillation
    from last_edge.train.checkpoint import read_teacher
    from last_edge.train.processes import is_first

    asked = [read_teacher(path) for path in teachers]
    if asked:
        ask_once(request, asked, cache, on_view=view_progress(quiet=screen.silent))
    announce(request, screen)
    with screen.epochs("distill") as report:
        final = run_distillation(request, asked, cache=cache, answers=answers, report=report)
    if is_first():
        screen.emit(final if screen.json else summary(final, out))


def maskclr(out: Out, flags: Flags, dry_run: DryRun = False, force: Force = False, screen: Screen = SCREEN) -> None:
    """Teach a trunk what movements look like, without labels: reconstruct what is hidden, tell two views from others.

    Body regions are hidden for blocks of frames; the recipe's part `pretrain` says how. The store may have labels or
    none; clips of its test split are left out, and so are the validation subjects. The same command resumes an
    interrupted run. `train --init RUN` and `distill --init RUN` start from the trunk, `probe RUN` measures it.

    Example: last-edge pretrain maskclr --model last_lite_nano --store runs/shrec14/store --out runs/shrec14/pretrained
    """
    from last_edge.tasks.registry import PRETRAINING
    from last_edge.tasks.start import SETTINGS, setting_of
    from last_edge.train.recipe import load_recipe

    request = choose(flags, out=out, recipe="maskclr").request(force=force, may_change=True)
    if dry_run:
        screen.emit(readable(preview(request, task=PRETRAINING), screen.json))
        return
    from last_edge.train.processes import is_first
    from last_edge.train.run import run_training

    announce(request, screen, PRETRAINING)
    with screen.epochs("pretrain") as report:
        final = run_training(request, task=PRETRAINING, report=report)
    if not is_first():
        return
    if screen.json:
        screen.emit(final)
        return
    row = final["pretrain"]
    names = [name for name in ("loss", "reconstruction", "contrast", "val_loss") if name in row]
    losses = "  ".join(f"{name} {row[name]:.3f}" for name in names)
    about = f"{losses}, epoch {row['epoch']} of {final['epochs']}"
    usual, own = (vars(recipe.input) for recipe in (load_recipe(None), request.recipe))
    alike = "".join(f" --set {setting_of(name, own[name])}" for name in SETTINGS if own[name] != usual[name])
    command = f"last-edge train --model {final['model']} --init {out} --store {request.store} --out RUN{alike}"
    shown = {"run": str(out), "model": final["model"], "trunk_params": final["params"], "losses": about}
    screen.emit({**shown, "memory": held_memory(out), "next": command})
