"""Loading recipes: shipped name or YAML file, then `--set a.b=value`; every fault is named with the nearest key."""

import dataclasses
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from last_edge.errors import InputError, UsageError
from last_edge.names import check_known, did_you_mean
from last_edge.tasks.config import ModelConfig, Recipe, StageLoss

HERE = Path(__file__).parent
SHIPPED = (HERE / "recipes", HERE.parent / "distill" / "recipes")
BOOL, INT, FLOAT, TIMESTAMP = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp"))


MOST_BYTES, MOST_VALUES, DEEPEST = 1_000_000, 10_000, 20
"""What a recipe may take: bytes of its file, values once aliases stand for what they name, levels of nesting."""
LARGEST_OPTION = 1_000_000
"""No model is as wide or as deep."""


class RecipeLoader(yaml.SafeLoader):
    """YAML where `off`, `03` and `2026-01-31` are words and `1e-3` is a number."""

    yaml_implicit_resolvers = {
        first: [rule for rule in rules if rule[0] not in (BOOL, INT, TIMESTAMP)]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


RecipeLoader.add_implicit_resolver(BOOL, re.compile(r"(?:true|false)$", re.IGNORECASE), list("tTfF"))
RecipeLoader.add_implicit_resolver(INT, re.compile(r"[+-]?(?:0|[1-9][0-9]{0,18})$"), list("+-0123456789"))
RecipeLoader.add_implicit_resolver(FLOAT, re.compile(r"[+-]?\d+\.?\d*[eE][+-]?\d+$"), list("+-0123456789"))


def recipe_files() -> dict[str, Path]:
    """Shipped recipes by name."""
    return {path.stem: path for folder in SHIPPED for path in sorted(folder.rglob("*.yaml"))}


def load_recipe(name: str | None, *, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe called `name` (shipped, or a path to YAML; None for the defaults) with `overrides` applied."""
    given = [] if name is None else [(read_yaml(_find(name)), str(name))]
    given += [(_parse_override(text), f"--set {text}"[:200]) for text in overrides]
    merged = _schema()
    recipe = Recipe()
    for values, where in given:
        _check_plain(values, where)
        values = _tidy(values)
        _check_keys(values, Recipe(), where)
        values = _listed(values, Recipe())
        try:
            merged = OmegaConf.merge(merged, values)
            recipe = cast(Recipe, OmegaConf.to_object(merged))
        except (OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
            got = str(error).splitlines()[0][:200]
            raise UsageError("recipe value has the wrong type", where=where, got=got) from error
    _check_values(recipe)
    return recipe


@cache
def _schema() -> Any:
    """Names and types of a recipe; `merge` copies it."""
    return OmegaConf.structured(Recipe)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, whole and in order."""
    return yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False)


def identity_of(recipe: Recipe) -> str:
    """The recipe as the text that two runs must share for one to continue the other.

    Logging decides nothing, nor does what is made of a run's weights later; where the weights came from is told apart
    by their content, not by their place.
    """
    values = dataclasses.asdict(recipe)
    del values["quantize"], values["training"]["tensorboard"], values["training"]["init"]
    return yaml.safe_dump(values, sort_keys=False)


STAYS = ("batch_size", "gradient_accumulation_steps", "optimizer", "label_share", "input_clamp")
"""Settings of `training` that decide what a step is, or what its state is of."""
OF_ANSWERS = ("a", "b", "tau", "g", "soft", "dkd_alpha", "dkd_beta", "dist_beta", "dist_gamma")


def lasting_of(recipe: Recipe) -> str:
    """As `identity_of`, without what may change when a run goes on: rates, losses, limits, epochs, augmentation."""
    values = yaml.safe_load(identity_of(recipe))
    values["training"] = {key: values["training"][key] for key in STAYS}
    values["distill"] = {key: value for key, value in values["distill"].items() if key not in OF_ANSWERS}
    del values["augment"]
    return yaml.safe_dump(values, sort_keys=False)


def _find(name: str) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    shipped = recipe_files()
    check_known(name, shipped, "recipe", hint="last-edge recipes ls")
    return shipped[name]


def read_yaml(path: Path, *, what: str = "recipe", hint: str = "last-edge recipes ls") -> dict[str, Any]:
    """A YAML file's mapping. Raises `InputError` for what is no text, too large, tagged or refers to itself."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{what} is too large", where=path, expected=f"at most {MOST_BYTES:,} bytes")
        values = _parse_yaml(content.decode("utf-8-sig"), path)
    except FileNotFoundError as error:
        raise InputError(f"{what} not found", where=path, hint=hint) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not text", where=path, expected="UTF-8", got=error) from error
    except yaml.YAMLError as error:
        raise InputError(f"{what} is not YAML", where=path, got=error) from error
    if not isinstance(values, dict):
        raise InputError(f"a {what} is a YAML mapping", where=path, got=type(values).__name__)
    return values


def _parse_yaml(text: str, where: object) -> Any:
    """What `text` says. Raises `InputError`, before anything is built, for tags and for what would grow too large."""
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    values = 0
    for event in yaml.parse(text, RecipeLoader):
        if isinstance(event, yaml.AliasEvent):
            values += sizes.get(str(event.anchor), 0)
            if any(anchor == event.anchor for anchor, _ in opened):
                raise InputError(f"the alias *{event.anchor} stands within what it names", where=where)
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            if (tag := getattr(event, "tag", None)) not in (None, "!"):
                raise InputError("no YAML tags are read", where=where, got=tag, hint="leave the tag out")
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, values - 1))
            elif event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = values - before
        if values > MOST_VALUES:
            raise InputError("too many values in the YAML", where=where, expected=f"at most {MOST_VALUES:,}")
        if len(opened) > DEEPEST:
            raise InputError("YAML is nested too deeply", where=where, expected=f"at most {DEEPEST} levels")
    return yaml.load(text, RecipeLoader)


def _check_plain(values: dict[str, Any], where: object) -> None:
    """`UsageError` unless all keys and values are plain: a recipe reads no environment and refers to nothing."""
    left: list[tuple[str, Any, int]] = [("", values, 0)]
    while left:
        key, value, depth = left.pop()
        if depth > DEEPEST:
            raise UsageError("recipe is nested too deeply", where=where, expected=f"at most {DEEPEST} levels")
        if isinstance(value, dict):
            left += [(f"{key}.{name}".lstrip("."), item, depth + 1) for name, item in value.items()]
            left += [(key, name, depth) for name in value]
        elif isinstance(value, list):
            left += [(key, item, depth + 1) for item in value]
        elif isinstance(value, str) and "${" in value:
            hint = "write the value itself"
            raise UsageError("a recipe has no ${...} interpolations", where=where, got=f"{key}: {value}", hint=hint)
        elif isinstance(value, str) and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value):
            raise UsageError(f"{key} has a control character or half of a letter", where=where, got=ascii(value)[:200])


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
        return _parse_yaml(raw, f"--set ...={raw[:200]}")
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
    _check_group(recipe)
    for name in ("dropout", "drop_path_rate"):
        chance = recipe.model.options.get(name, 0.0)
        if not isinstance(chance, int | float) or not 0 <= chance <= 1:
            raise UsageError(f"model.{name} must be a number within 0..1", got=chance)
    _check_options(recipe.model.options, "model")
    if recipe.training.ema_decay and recipe.training.swa_start:
        raise UsageError("training.ema_decay and training.swa_start exclude each other", hint="set one of them to 0")


def _check_group(group: Any, name: str = "{}") -> None:
    """`UsageError` for the first setting whose value its schema does not allow. name: how a message calls a setting."""
    for part in dataclasses.fields(group):
        key, value = name.format(part.name), getattr(group, part.name)
        for item in value if isinstance(value, list) else [value]:
            if dataclasses.is_dataclass(item):
                _check_group(item, f"{{}} of {key}" if isinstance(value, list) else f"{key}.{{}}")
                continue
            known = part.metadata.get("setting")
            if known is None:
                continue
            if known.allows(item):
                _check_finite(item, key)
                continue
            if known.choices:
                raise UsageError(
                    f"{key} has an unknown value", expected=did_you_mean(str(item), known.choices), got=item
                )
            raise UsageError(f"{key} must be {known.bounds}", got=item, hint=f"{part.name}: {known.help}")


def _check_options(options: Any, key: str) -> None:
    """`UsageError` for a number in a model's options that no model can be built with."""
    for name, value in options.items() if isinstance(options, dict) else enumerate(options):
        if isinstance(value, dict | list):
            _check_options(value, f"{key}.{name}")
            continue
        _check_finite(value, f"{key}.{name}")
        if isinstance(value, int) and abs(value) > LARGEST_OPTION:
            raise UsageError(f"{key}.{name} must be at most {LARGEST_OPTION:,}", got=value)


def _check_finite(value: Any, key: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{key} must be a finite number", got=value)


def set_values(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Command-line flags that were given, as `--set` texts."""
    return [f"{key}={value}" for key, value in pairs if value is not None]
