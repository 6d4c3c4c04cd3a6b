"""Recipes from strangers: nothing is read from the environment, nothing grows, every fault is the recipe's."""

from __future__ import annotations

from pathlib import Path

import pytest

from last_edge.errors import InputError, UsageError
from last_edge.train.recipe import DEEPEST, MOST_BYTES, load_recipe


def alias_bomb(levels: int, *, line: str) -> str:
    lines = ["    a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        again = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"    a{level}: &a{level} " + line.format(again))
    return "model:\n  options:\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("text", ["validation:\n  select: ${oc.env:SECRET}\n", "seed: ${x}\n", "model:\n  ${x}: 1\n"])
def test_interpolations_are_refused_unresolved(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    path = tmp_path / "leak.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="no .* interpolations") as error:
        load_recipe(str(path))
    assert "hunter2" not in error.value.render()


@pytest.mark.parametrize("key", ["seed", "training.init", "model.options.width", "validation.subjects"])
def test_interpolations_of_set_are_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    with pytest.raises(UsageError, match="no .* interpolations") as error:
        load_recipe(None, overrides=[f"{key}=${{oc.env:SECRET}}"])
    assert "hunter2" not in error.value.render()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (alias_bomb(9, line="[{}]"), "too many values"),
        (alias_bomb(9, line="{{<<: [{}]}}"), "too many values"),
        ("seed: [" + "1, " * 10_000 + "1]", "too many values"),
        ("[" * 10_000, "nested too deeply"),
        ("model: " + "{a: " * 10_000 + "1", "nested too deeply"),
        ("# " + "x" * MOST_BYTES, "too large"),
    ],
)
def test_what_would_grow_is_refused_before_it_grows(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=named):
        load_recipe(str(path))


def test_set_has_the_limits_of_a_file() -> None:
    deep = ".".join("a" * (DEEPEST + 1))
    with pytest.raises(UsageError, match="nested too deeply"):
        load_recipe(None, overrides=[f"model.options.{deep}=1"])
    with pytest.raises(InputError, match="nested too deeply"):
        load_recipe(None, overrides=["model.options.a=" + "[" * 10_000])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'seed: !!int "abc"', "no YAML tags"),
        (b"seed: !!python/object/apply:os.system [ls]", "no YAML tags"),
        (b"seed: 2020-99-99", "wrong type"),
        (b"seed: " + b"9" * 5000, "wrong type"),
        (b"seed: &a [*a]", "stands within what it names"),
        (b"\xff\xfe", "not text"),
        (b"seed: *nobody", "not YAML"),
        (b'model:\n  name: "\\ud800"', "control character"),
        (b'training:\n  init: "a\\0b"', "control character"),
        (b"model:\n  options: {1: 2}", "wrong type"),
        (b"- seed", "YAML mapping"),
    ],
)
def test_every_fault_is_told_as_the_recipes(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises((InputError, UsageError), match=named) as error:
        load_recipe(str(path))
    assert len(error.value.render()) < 1000


def test_aliases_and_a_byte_order_mark_stay_allowed(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: &seed 7\ndistill:\n  cache_seed: *seed\n", encoding="utf-8-sig")
    recipe = load_recipe(str(path))
    assert (recipe.seed, recipe.distill.cache_seed) == (7, 7)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.lr=.inf", "training.lr must be a finite number"),
        ("training.lr=1e999", "training.lr must be a finite number"),
        ("training.lr=.nan", "training.lr must be above 0"),
        ("training.momentum=.nan", "training.momentum must be a finite number"),
        ("augment.scale=-.inf", "augment.scale must be a finite number"),
        ("model.options.width=.inf", "model.width must be a finite number"),
        ("model.options.channels=[8,.nan]", "model.channels.1 must be a finite number"),
        ("model.options.width=100000000", "model.width must be at most"),
        ("input.frames=100000000", "input.frames must be above 0 and at most 10000"),
        ("input.bodies=100000000", "input.bodies must be"),
        ("training.batch_size=100000000", "training.batch_size must be"),
        ("training.epochs=999999999999999999", "training.epochs must be"),
        ("seed=99999999999999999999", "seed must be"),
    ],
)
def test_numbers_no_training_can_use_are_refused_up_front(override: str, named: str) -> None:
    with pytest.raises(UsageError) as error:
        load_recipe(None, overrides=[override])
    assert error.value.what.startswith(named) and error.value.got
