"""The flags of `last-edge train` and what they resolve to: recipe < environment < flags < --set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import UsageError

if TYPE_CHECKING:
    from last_edge.tasks.config import Recipe
    from last_edge.train.environment import Profile

CLASS_WEIGHTS = {None: None, True: "balanced", False: "none"}
PROTOCOLS = {"ntu60": ("xsub", "xview"), "ntu120": ("xsub", "xset")}

Store = Annotated[Path | None, typer.Option("--store", help="A clip store, made by `last-edge data`.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where the run goes; default: runs/STORE/MODEL.")]
Dataset = Annotated[
    str | None, typer.Option("--dataset", help="Instead of --store: DATA_ROOT/DATASET_SPLIT, such as data/ntu60_xsub.")
]
SplitType = Annotated[
    str | None, typer.Option("--split-type", "--split_type", help="ntu60: xsub, xview; ntu120: xsub, xset.")
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", "--data_root", help="Folder of clip stores; default: the environment's.")
]
Env = Annotated[
    str | None,
    typer.Option("--env", help="local, kaggle, gcp, lambda or a100; default: kaggle in /kaggle, else local."),
]
Finetune = Annotated[
    Path | None,
    typer.Option(
        "--finetune", help="Start from this bundle's weights (`export --weights`) and make a bundle of the result."
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="training.epochs")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", "--batch_size", help="training.batch_size")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="training.lr, the highest rate.")]
WeightDecay = Annotated[float | None, typer.Option("--weight-decay", "--weight_decay", help="training.weight_decay")]
Dropout = Annotated[float | None, typer.Option("--dropout", help="model.dropout, before the classifier.")]
Scheduler = Annotated[
    str | None,
    typer.Option(help="cosine_warmup, cosine_warmup_epochs, cosine_warmup_restart, multistep_warmup or constant."),
]
MinLr = Annotated[float | None, typer.Option("--min-lr", "--min_lr", help="training.min_lr, the lowest rate.")]
Amp = Annotated[bool | None, typer.Option("--amp/--no-amp", help="Mixed precision on a GPU, as the environment says.")]
Workers = Annotated[int | None, typer.Option("--workers", help="training.workers, processes that load clips.")]
LabelSmoothing = Annotated[
    float | None, typer.Option("--label-smoothing", "--label_smoothing", help="training.label_smoothing")
]
GradClip = Annotated[float | None, typer.Option("--grad-clip", "--grad_clip", help="training.gradient_clip")]
WarmupEpochs = Annotated[
    int | None,
    typer.Option("--warmup-epochs", "--warmup_epochs", help="training.warmup_epochs; -1: a tenth of the run."),
]
EarlyStopping = Annotated[
    int | None, typer.Option("--early-stopping", "--early_stopping", help="training.patience, 0 for never.")
]
ClassWeights = Annotated[
    bool | None,
    typer.Option(
        "--use-class-weights/--no-class-weights",
        "--use_class_weights/--no_class_weights",
        help="training.class_weights: balanced or none.",
    ),
]
Force = Annotated[bool, typer.Option("--force", "--force-fresh", help="Start anew and replace what is there.")]
More = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Further values for --set.")]


@dataclass(frozen=True)
class Flags:
    """What was typed; None where nothing was. values: recipe keys and what their flags say. base: recipe keys and what
    the bundle says that --finetune names; every flag wins over it.
    """

    values: dict[str, object]
    recipe: str | None = None
    sets: tuple[str, ...] = ()
    store: Path | None = None
    out: Path | None = None
    dataset: str | None = None
    split_type: str | None = None
    data_root: Path | None = None
    env: str | None = None
    amp: bool | None = None
    base: dict[str, object] = field(default_factory=dict)

    def on_bundle(self, bundle: Path | None) -> Flags:
        """With what `--finetune` says; `UsageError` without a store, or with another start."""
        from last_edge.train.finetune import RECIPE, finetune_values

        if bundle is None:
            return self
        if self.values.get("training.init") is not None:
            raise UsageError("--finetune and --init both say what to start from", hint="one of them")
        if self.store is None:
            raise UsageError("--finetune needs the clips to learn", expected="--store", hint="last-edge record STORE")
        return replace(self, recipe=self.recipe or RECIPE, base=finetune_values(bundle, self.store))


@dataclass(frozen=True)
class Choice:
    """What a command line resolves to."""

    recipe: Recipe
    store: Path
    out: Path
    env: str
    profile: Profile


def choose(flags: Flags) -> Choice:
    """Resolve flags; raises `UsageError` where they contradict each other or name what is not there."""
    from last_edge.train.environment import detect, load_profile

    env = flags.env or detect()
    profile = load_profile(env)
    recipe = _recipe(flags, profile)
    store = flags.store or store_path(flags.dataset, flags.split_type, flags.data_root or Path(profile.data_root))
    return Choice(recipe, store, flags.out or Path("runs") / store.name / recipe.model.name, env, profile)


def _recipe(flags: Flags, profile: Profile) -> Recipe:
    from last_edge.train.recipe import load_recipe, set_values

    amp = None if flags.amp is None else (profile.amp if flags.amp else "off")
    typed = [*set_values([*flags.base.items(), *flags.values.items(), ("training.amp", amp)]), *flags.sets]
    optimizer = load_recipe(flags.recipe, overrides=typed).training.optimizer
    return load_recipe(flags.recipe, overrides=[*profile.overrides(optimizer), *typed])


def store_path(dataset: str | None, split_type: str | None, root: Path) -> Path:
    """The clip store of a dataset below a folder: ROOT/DATASET_SPLIT, or ROOT/DATASET where it has one split.

    NTU RGB+D has protocols; cross-subject is the default.
    """
    if dataset is None:
        raise UsageError("which clips to train on?", expected="--store, or --dataset with --data-root")
    known = PROTOCOLS.get(dataset)
    if known is None:
        return root / (f"{dataset}_{split_type}" if split_type else dataset)
    if split_type is not None and split_type not in known:
        raise UsageError(f"{dataset} has no such protocol", expected=", ".join(known), got=split_type)
    return root / f"{dataset}_{split_type or known[0]}"


def check_store(path: Path, dataset: str | None) -> None:
    """`InputError` with the command that makes the store, where a named dataset has not been prepared."""
    from last_edge.errors import InputError

    if dataset is None or path.exists():
        return
    ntu = f" --classes {dataset.removeprefix('ntu')} --split-type {path.name.rpartition('_')[2]}"
    options = f"ntu FOLDER{ntu}" if dataset in PROTOCOLS else f"{dataset} FOLDER"
    raise InputError("this dataset is not prepared", where=path, hint=f"last-edge data prepare {options} --out {path}")


def describe(choice: Choice) -> dict[str, Any]:
    """Where a run would read and write, and what is known of the environment."""
    guidance = ", ".join(f"{family} {size}" for family, size in choice.profile.batch_guidance.items())
    return {
        "store": str(choice.store),
        "out": str(choice.out),
        "env": f"{choice.env}: {choice.profile.about}; batches that fit: {guidance}",
    }
