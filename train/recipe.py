"""Loading recipes: shipped name or YAML file, then `--set a.b=value`; every fault is named with the nearest key."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from last_edge.errors import InputError, UsageError
from last_edge.names import did_you_mean
from last_edge.tasks.config import (
    AUGMENT_ON,
    CLASS_WEIGHTS,
    LOSSES,
    SOFT_LOSSES,
    STAGE_LOSSES,
    DistillConfig,
    ModelConfig,
    PretrainConfig,
    Recipe,
    StageLoss,
    TranslateConfig,
)
from last_edge.train.schedule import SCHEDULERS

SHIPPED = (Path(__file__).parent / "recipes", Path(__file__).parent.parent / "distill" / "recipes")
BOOL, INT, FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float"))
LATER_KEYS = (
    "gradient_accumulation_steps", "restart_period", "restart_mult", "milestones", "gamma", "ib_loss_weight",
    "swa_start", "patience", "fused", "compile", "label_share", "warmup_start_share", "loss", "focal_gamma",
    "class_weights", "class_weights_from", "augment_on",
)  # fmt: skip
FIRST_DISTILL_KEYS = ("a", "b", "tau")
CHOICES: dict[str, tuple[str, ...]] = {
    "training.optimizer": ("sgd", "adamw"),
    "training.scheduler": SCHEDULERS,
    "training.loss": LOSSES,
    "training.class_weights": CLASS_WEIGHTS,
    "training.augment_on": AUGMENT_ON,
    "training.fused": ("on", "off", "auto"),
    "training.amp": ("off", "bf16", "fp16", "auto"),
    "validation.select": ("best", "last"),
    "input.centre": ("first", "frame", "none"),
    "input.scale": ("limb", "frame", "none"),
    "pretrain.guide": ("random", "attention", "norm", "gradient"),
    "pretrain.decoder": ("pose", "points"),
    "distill.soft": SOFT_LOSSES,
    "distill.cache": ("off", "on"),
    "quantize.method": ("minmax", "percentile", "entropy"),
}


class RecipeLoader(yaml.SafeLoader):
    """YAML where `off` and `03` are words and `1e-3` is a number."""

    yaml_implicit_resolvers = {
        first: [rule for rule in rules if rule[0] not in (BOOL, INT)]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


RecipeLoader.add_implicit_resolver(BOOL, re.compile(r"(?:true|false)$", re.IGNORECASE), list("tTfF"))
RecipeLoader.add_implicit_resolver(INT, re.compile(r"[+-]?(?:0|[1-9][0-9]*)$"), list("+-0123456789"))
RecipeLoader.add_implicit_resolver(FLOAT, re.compile(r"[+-]?\d+\.?\d*[eE][+-]?\d+$"), list("+-0123456789"))


def recipe_files() -> dict[str, Path]:
    """Shipped recipes by name."""
    return {path.stem: path for folder in SHIPPED for path in sorted(folder.glob("*.yaml"))}


def load_recipe(name: str | None, *, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe called `name` (shipped, or a path to YAML; None for the defaults) with `overrides` applied."""
    given = [] if name is None else [(_read(_find(name)), str(name))]
    given += [(_parse_override(text), f"--set {text}") for text in overrides]
    merged = OmegaConf.structured(Recipe)
    for values, where in given:
        values = _tidy(values)
        _check_keys(values, Recipe(), where)
        values = _listed(values, Recipe())
        try:
            merged = OmegaConf.merge(merged, values)
        except OmegaConfBaseException as error:
            raise UsageError("recipe value has the wrong type", where=where, got=str(error).splitlines()[0]) from error
    recipe = cast(Recipe, OmegaConf.to_object(merged))
    _check_values(recipe)
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, whole and in order."""
    return yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False)


def identity_of(recipe: Recipe) -> str:
    """The recipe as the text that two runs must share for one to continue the other.

    Keys that came later are left out while they have their default, so that an older run can be continued; logging
    decides nothing. Where the weights came from is told apart by their content, not by their place.
    """
    values, defaults = dataclasses.asdict(recipe), dataclasses.asdict(Recipe())
    del values["quantize"]  # what is made of a run's weights later
    group, default = values["training"], defaults["training"]
    values["training"] = {
        key: value
        for key, value in group.items()
        if key not in ("tensorboard", "init") and not (key in LATER_KEYS and value == default[key])
    }
    values["distill"] = {
        key: value
        for key, value in values["distill"].items()
        if key in FIRST_DISTILL_KEYS or value != defaults["distill"][key]
    }
    if not values["augment"]["bones"]:
        del values["augment"]["bones"]
    for name in ("pretrain", "translate"):
        if values[name] == defaults[name]:
            del values[name]
    return yaml.safe_dump(values, sort_keys=False)


def _find(name: str) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    shipped = recipe_files()
    if name not in shipped:
        raise UsageError(f"unknown recipe {name!r}", expected=did_you_mean(name, shipped), hint="last-edge recipes ls")
    return shipped[name]


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), RecipeLoader)
    except FileNotFoundError as error:
        raise InputError("recipe not found", where=path, hint="last-edge recipes ls") from error
    except yaml.YAMLError as error:
        raise InputError("recipe is not YAML", where=path, got=error) from error
    if not isinstance(values, dict):
        raise InputError("a recipe is a YAML mapping", where=path, got=type(values).__name__)
    return values


def _parse_override(text: str) -> dict[str, Any]:
    """`a.b=value` as a nested mapping; the value is read as YAML, `x,y,z` as a list."""
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise UsageError("--set needs KEY=VALUE", got=text, hint="--set training.lr=0.05")
    listed = "," in raw and "[" not in raw and not raw.startswith(('"', "'"))
    value: Any = [_scalar(part) for part in raw.split(",")] if listed else _scalar(raw)
    for part in reversed(key.split(".")):
        value = {part: value}
    return cast(dict[str, Any], value)


def _scalar(raw: str) -> Any:
    """One value as a recipe file would read it."""
    try:
        return yaml.load(raw, RecipeLoader)
    except yaml.YAMLError:
        return raw


def _tidy(values: dict[str, Any]) -> dict[str, Any]:
    """`model.use_st_att` is short for `model.options.use_st_att`."""
    model = values.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("options", {}), dict):
        return values
    own = {field.name for field in dataclasses.fields(ModelConfig)}
    options = {key: value for key, value in model.items() if key not in own}
    kept = {key: value for key, value in model.items() if key in own}
    return values | {"model": kept | {"options": kept.get("options", {}) | options}} if options else values


def _listed(values: dict[str, Any], schema: Any) -> dict[str, Any]:
    """One value where a recipe has a list is a list of one, as in `validation.subjects=anna`."""
    listed: dict[str, Any] = {}
    for key, value in values.items():
        part = getattr(schema, key)
        if dataclasses.is_dataclass(part) and isinstance(value, dict):
            value = _listed(value, part)
        listed[key] = [value] if isinstance(part, list) and isinstance(value, str | int | float) else value
    return listed


def _check_keys(values: dict[str, Any], schema: Any, where: str, prefix: str = "") -> None:
    fields = {field.name for field in dataclasses.fields(schema)}
    for key, value in values.items():
        if key not in fields:
            raise UsageError(f"unknown key {prefix + str(key)!r}", where=where, expected=did_you_mean(str(key), fields))
        part = getattr(schema, key)
        if dataclasses.is_dataclass(part) and isinstance(value, dict):
            _check_keys(value, part, where, f"{prefix}{key}.")
        if prefix + str(key) == "distill.losses":
            _check_loss_map(value, where)


def _check_loss_map(entries: Any, where: str) -> None:
    """`UsageError` unless this is a list of mappings with the keys of `StageLoss`."""
    needed = {field.name for field in dataclasses.fields(StageLoss) if field.default is dataclasses.MISSING}
    example = "[{student: 3, teacher: 3, loss: feature_mse, weight: 1.0}]"
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError("distill.losses is a list of mappings", where=where, expected=example, got=entries)
    for entry in entries:
        _check_keys(entry, StageLoss(1, 1, ""), where, "distill.losses.")
        if not needed <= set(entry):
            raise UsageError("an entry of distill.losses lacks a key", where=where, expected=example, got=entry)


def _check_values(recipe: Recipe) -> None:
    for key, allowed in CHOICES.items():
        group, name = key.split(".")
        got = getattr(getattr(recipe, group), name)
        if got not in allowed:
            raise UsageError(f"{key} has an unknown value", expected=did_you_mean(str(got), allowed), got=got)
    t, v, a = recipe.training, recipe.validation, recipe.augment
    _positive({"training.epochs": t.epochs, "training.batch_size": t.batch_size, "training.lr": t.lr})
    _positive({"training.restart_period": t.restart_period, "training.restart_mult": t.restart_mult})
    _positive({"training.gradient_accumulation_steps": t.gradient_accumulation_steps})
    if t.warmup_epochs < -1:
        raise UsageError("training.warmup_epochs must be 0 or more, or -1 for a tenth of the run", got=t.warmup_epochs)
    _not_below_zero({"training.patience": t.patience, "training.focal_gamma": t.focal_gamma})
    _share({"training.warmup_start_share": t.warmup_start_share})
    _not_below_zero({"seed": recipe.seed, "training.gradient_clip": t.gradient_clip, "training.mixup": t.mixup})
    _positive({"input.frames": recipe.input.frames, "input.bodies": recipe.input.bodies})
    _not_below_zero({"training.workers": t.workers, "training.save_interval": t.save_interval})
    _share(
        {
            "validation.fraction": v.fraction,
            "augment.mirror": a.mirror,
            "augment.mask": a.mask,
            "augment.bones": a.bones,
        }
    )
    _share({"training.ema_decay": t.ema_decay, "training.label_smoothing": t.label_smoothing, "augment.crop": a.crop})
    if not 50 < recipe.quantize.percentile <= 100:
        raise UsageError("quantize.percentile must be above 50 and at most 100", got=recipe.quantize.percentile)
    _share({"training.swa_start": t.swa_start, "training.class_weights_from": t.class_weights_from})
    _positive({"training.label_share": t.label_share})
    _share({"training.label_share": t.label_share})
    _check_dropout(recipe.model)
    _check_pretrain(recipe.pretrain)
    _check_distill(recipe.distill)
    _check_translate(recipe.translate)
    if t.ema_decay and t.swa_start:
        raise UsageError("training.ema_decay and training.swa_start exclude each other", hint="set one of them to 0")


def _check_dropout(m: ModelConfig) -> None:
    for name in ("dropout", "drop_path_rate"):
        chance = m.options.get(name, 0.0)
        if not isinstance(chance, int | float):
            raise UsageError(f"model.{name} is a number", expected="0..1", got=chance)
        _share({f"model.{name}": chance})


def _check_pretrain(p: PretrainConfig) -> None:
    _positive({"pretrain.ratio": p.ratio, "pretrain.blocks": p.blocks, "pretrain.width": p.width})
    _positive({"pretrain.temperature": p.temperature})
    _share({"pretrain.scale": p.scale})
    if p.ratio >= 1:
        raise UsageError("pretrain.ratio must be below 1", got=p.ratio)
    _not_below_zero({"pretrain.contrast": p.contrast, "pretrain.rotation_deg": p.rotation_deg})


def _check_distill(d: DistillConfig) -> None:
    _positive({"distill.tau": d.tau})
    _positive({"distill.teacher_weights": min(d.teacher_weights, default=1.0)})
    weights = {name: getattr(d, name) for name in ("a", "b", "g", "dkd_alpha", "dkd_beta", "dist_beta", "dist_gamma")}
    weights |= {name: getattr(d, name) for name in ("cache_views", "cache_seed")}
    _not_below_zero({f"distill.{name}": value for name, value in weights.items()})
    for entry in d.losses:
        if entry.loss not in STAGE_LOSSES:
            raise UsageError("unknown stage loss", expected=did_you_mean(entry.loss, STAGE_LOSSES), got=entry.loss)
        _positive({f"{name} of distill.losses": getattr(entry, name) for name in ("student", "teacher", "of")})
        _not_below_zero({"weight of distill.losses": entry.weight})


def _check_translate(t: TranslateConfig) -> None:
    _positive({"translate.vocabulary": t.vocabulary, "translate.beam": t.beam})
    _not_below_zero({f"translate.{name}": getattr(t, name) for name in ("length_penalty", "no_repeat", "jitter")})
    _not_below_zero({"translate.subset": t.subset})
    _share({"translate.speed": t.speed})
    if t.repetition_penalty < 1:
        raise UsageError("translate.repetition_penalty must be 1 or more", got=t.repetition_penalty)


def _positive(values: dict[str, float]) -> None:
    for key, value in values.items():
        if value <= 0:
            raise UsageError(f"{key} must be above 0", got=value)


def _not_below_zero(values: dict[str, float]) -> None:
    for key, value in values.items():
        if value < 0:
            raise UsageError(f"{key} must not be below 0", got=value)


def _share(values: dict[str, float]) -> None:
    for key, value in values.items():
        if not 0 <= value <= 1:
            raise UsageError(f"{key} must be within 0..1", got=value)


def set_values(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Command-line flags that were given, as `--set` texts."""
    return [f"{key}={value}" for key, value in pairs if value is not None]
