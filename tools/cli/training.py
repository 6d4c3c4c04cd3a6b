"""The flags that all trainings share, made from the recipe's schema, and what they resolve to.

Each wins over those before it: recipe, environment, flags, `--set`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, get_origin

from typer import Option

from last_edge.errors import InputError, UsageError
from last_edge.tasks.config import TrainingConfig, settings
from last_edge.tools.cli.options import Device, More, RecipeName, Screen, Set, Threads, in_zoo, torch_threads
from last_edge.tools.register import OptionGroup

if TYPE_CHECKING:
    from last_edge.tasks.config import Recipe
    from last_edge.tasks.task import Task
    from last_edge.train.environment import Profile
    from last_edge.train.request import Request

PROTOCOLS = {"ntu60": ("xsub", "xview"), "ntu120": ("xsub", "xset")}
CLASS_WEIGHTS = {None: None, True: "balanced", False: "none"}
# Settings that have other names as flags, or flags that mean something else.
NAMED = {"gradient_clip": "grad_clip", "patience": "early_stopping"}
OWN = ("amp", "class_weights", "init")


@dataclass(frozen=True)
class Flags(OptionGroup):
    """What was typed; None where nothing was.

    values: recipe keys and what the flags of the schema say. base: recipe keys and values that every flag wins over.
    """

    more: More = None
    store: Annotated[Path | None, Option(help="A clip store, made by `last-edge data`.")] = None
    dataset: Annotated[str | None, Option(help="Instead of --store: DATA_ROOT/DATASET_SPLIT, as data/ntu60_xsub.")] = (
        None
    )
    split_type: Annotated[str | None, Option(help="ntu60: xsub, xview; ntu120: xsub, xset.")] = None
    data_root: Annotated[Path | None, Option(help="Folder of clip stores; default: the environment's.")] = None
    model: Annotated[str | None, Option(help="Registered name; `last-edge models` lists them.")] = None
    recipe: RecipeName = None
    set_: Set = None
    init: Annotated[
        Path | None,
        Option(
            callback=in_zoo,
            help="A run, or a bundle with float weights, whose trunk the model starts from; a translator starts from "
            "another translator or looks through a recogniser's trunk.",
        ),
    ] = None
    seed: Annotated[int | None, Option(min=0, help="Seed of every random draw; default: the recipe's.")] = None
    dropout: Annotated[float | None, Option(help="model.dropout, before the classifier.")] = None
    amp: Annotated[bool | None, Option("--amp/--no-amp", help="Mixed precision on a GPU, by the environment.")] = None
    class_weights: Annotated[
        bool | None,
        Option("--use-class-weights/--no-class-weights", help="Count classes with few training clips more."),
    ] = None
    env: Annotated[
        str | None, Option(help="local, kaggle, gcp, lambda or a100; default: kaggle in /kaggle, else local.")
    ] = None
    device: Device = "auto"
    threads: Threads = 0
    values: dict[str, object] = field(default_factory=dict)
    base: dict[str, object] = field(default_factory=dict)

    @classmethod
    def options(cls) -> list[Parameter]:
        """The fields above, and a flag for each setting of the recipe's part `training`."""
        return [option for option in super().options() if option.name not in ("values", "base")] + schema_options()

    @classmethod
    def collect(cls, given: dict[str, Any]) -> Self:
        """Flags of the schema go into `values`."""
        own = {option.name for option in super().options()}
        keys = {flag: key for key, flag in NAMED.items()}
        values = {f"training.{keys.get(name, name)}": value for name, value in given.items() if name not in own}
        return cls(**{name: value for name, value in given.items() if name in own}, values=values)

    def on_bundle(self, bundle: Path | None) -> Flags:
        """With what `--finetune` says; `UsageError` without a store, or with another start."""
        from last_edge.tools.experiments.finetune import RECIPE, finetune_values

        if bundle is None:
            return self
        if self.init is not None:
            raise UsageError("--finetune and --init both say what to start from", hint="one of them")
        if self.store is None:
            raise UsageError(
                "--finetune needs the clips to learn", expected="--store", hint="last-edge record STORE --label NAME"
            )
        return replace(self, recipe=self.recipe or RECIPE, base=finetune_values(in_zoo(bundle), self.store))

    def typed(self, profile: Profile) -> list[str]:
        """`--set` texts of all flags, those of `--set` last."""
        from last_edge.train.recipe import set_values

        flags = {
            "model.name": self.model,
            "model.dropout": self.dropout,
            "seed": self.seed,
            "training.init": None if self.init is None else json.dumps(str(self.init)),
            "training.class_weights": CLASS_WEIGHTS[self.class_weights],
            "training.amp": None if self.amp is None else (profile.amp if self.amp else "off"),
            **self.values,
        }
        return [*set_values([*self.base.items(), *flags.items()]), *(self.set_ or ()), *(self.more or ())]


@cache
def schema_options() -> list[Parameter]:
    """An option for each setting of the recipe's part `training`, with its meaning from the schema."""
    options = []
    for key, setting in settings(TrainingConfig).items():
        if key in OWN:
            continue
        name = NAMED.get(key, key)
        flag = name.replace("_", "-")
        kind = str if get_origin(setting.kind) is list else setting.kind
        words = f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"
        choices = f" ({', '.join(setting.choices)})" if setting.choices else ""
        meaning = setting.help[0].upper() + setting.help[1:]
        option = Option(words, help=f"{meaning}{choices}.")
        options.append(Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]))
    return options


@dataclass(frozen=True)
class Choice:
    """What a command line resolves to."""

    recipe: Recipe
    store: Path
    out: Path
    env: str
    profile: Profile
    device: str = "auto"
    threads: int = 0

    def request(self, *, force: bool, may_change: bool = False) -> Request:
        """The run's request, on the device and with the processor threads that were asked for."""
        from last_edge.train.processes import resolve_device
        from last_edge.train.request import Request

        torch_threads(self.threads)
        device = resolve_device(self.device)
        return Request(self.recipe, self.store, self.out, device=device, force=force, may_change=may_change)

    def describe(self) -> dict[str, Any]:
        """Where a run would read and write, and what is known of the environment."""
        guidance = ", ".join(f"{family} {size}" for family, size in self.profile.batch_guidance.items())
        return {
            "store": str(self.store),
            "out": str(self.out),
            "env": f"{self.env}: {self.profile.about}; batches that fit: {guidance}",
        }


def choose(flags: Flags, *, out: Path | None = None, recipe: str | None = None) -> Choice:
    """Resolve flags; raises `UsageError` where they contradict each other or name what is not there.

    recipe: where the flags name none. out: default runs/STORE/MODEL.
    """
    from last_edge.train.environment import detect, load_profile

    env = flags.env or detect()
    profile, name = load_profile(env), flags.recipe or recipe
    resolved = profile.recipe(name, overrides=flags.typed(profile))
    store = flags.store or store_path(flags.dataset, flags.split_type, flags.data_root or Path(profile.data_root))
    place = out or Path("runs") / store.name / resolved.model.name
    if flags.store is None and not store.exists():
        ntu = f" --classes {str(flags.dataset).removeprefix('ntu')} --split-type {store.name.rpartition('_')[2]}"
        options = f"ntu FOLDER{ntu}" if flags.dataset in PROTOCOLS else f"{flags.dataset} FOLDER"
        hint = f"last-edge data prepare {options} --out {store}"
        raise InputError("this dataset is not prepared", where=store, hint=hint)
    return Choice(resolved, store, place, env, profile, flags.device, flags.threads)


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


def preview(request: Request, **task: Any) -> dict[str, Any]:
    """What a training would do; what it would take over from another run, where it starts from one."""
    from last_edge.clips.store import ClipStore
    from last_edge.train.request import foresee

    return foresee(ClipStore.open(request.store), request.recipe, **task)


def announce(request: Request, screen: Screen, task: Task | None = None) -> None:
    """Say before a training starts with which numbers it will run; see `hyperparameters`."""
    from last_edge.clips.store import ClipStore
    from last_edge.tasks.registry import task_of
    from last_edge.train.processes import is_first
    from last_edge.train.request import hyperparameters

    if screen.silent or not is_first():
        return
    recipe = (task or task_of(request.recipe.model.name)).fitted(request.recipe, ClipStore.open(request.store))
    for line in (f"model: {recipe.model.name}", *hyperparameters(recipe, device=request.device)):
        screen.note(line)


def readable(preview: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """A preview for people: the rates as a column, one epoch a line."""
    if as_json:
        return preview
    rates = "".join(f"\n  {epoch:4d}  {rate:.6f}" for epoch, rate in enumerate(preview["lr"]))
    recipe = "".join(f"\n  {line}" for line in preview["recipe"].splitlines())
    listed = ("teachers", "answers", "loss_map", "cache", "hyperparameters")
    lines = {key: _lines(preview[key]) for key in listed if preview.get(key)}
    return preview | lines | {"lr": f"at the start of each epoch{rates}", "recipe": recipe}


def _lines(value: Any) -> str:
    """A list or mapping, one item a line."""
    items = [f"{key}: {part}" for key, part in value.items()] if isinstance(value, dict) else value
    return "".join(f"\n  {item}" for item in items)


def held_memory(out: Path) -> str:
    """Most memory that a finished run's process and GPU held, for people."""
    from last_edge.train.run_folder import TIMING

    timing = json.loads((out / TIMING).read_text().splitlines()[-1])
    held = {"process": timing.get("process_mb"), "GPU": timing.get("gpu_mb")}
    return ", ".join(f"{name} {mb:,} MB" for name, mb in held.items() if mb) or "unknown"


def summary(final: dict[str, Any], out: Path) -> dict[str, Any]:
    """The lines a person wants after a run."""
    from last_edge.tasks.registry import task_of

    shown: dict[str, Any] = {"run": str(out), "model": final["model"], "params": final["params"]}
    if "init" in final:
        start = final["init"]
        shown["init"] = f"{start['run']}: {len(start['loaded'])} tensors taken over, {len(start['fresh'])} new"
    task = task_of(final["model"])
    shown |= {part: task.in_words(final[part]) for part in ("val", "test") if part in final}
    shown["memory"] = held_memory(out)
    if task.by_frame and final.keys() & {"val", "test"}:
        shown["next"] = f"last-edge fit-spans {out} --store STORE, then last-edge eval {out} --store STORE --stream"
    return shown
