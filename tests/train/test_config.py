"""Recipes: all shipped ones load, `--set` wins and is typed, faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model, model_names, resolve_name
from last_edge.skeleton import Layout
from last_edge.tasks.config import settings
from last_edge.train.optimizer import AFTER_WARMUP, NORMS, build_optimizer, decay_groups
from last_edge.train.recipe import dump_recipe, load_recipe, recipe_files


@pytest.mark.parametrize("name", recipe_files())
def test_every_shipped_recipe_loads_and_opens_with_its_command(name: str) -> None:
    recipe = load_recipe(name)
    assert resolve_name(recipe.model.name) == recipe.model.name
    first = recipe_files()[name].read_text().splitlines()[0]
    assert first.startswith("# last-edge ")
    assert f"--recipe {name}" in first


def test_set_is_typed_and_wins() -> None:
    sets = ["training.lr=1e-3", "training.nesterov=false", "model.options.use_st_att=false,false,true", "seed=7"]
    recipe = load_recipe("shrec17", overrides=sets)
    assert recipe.training.lr == 0.001
    assert recipe.training.nesterov is False
    assert recipe.model.options["use_st_att"] == [False, False, True]
    assert recipe.seed == 7


def test_model_options_need_no_prefix() -> None:
    sets = ["model.drop_path_rate=0.15", "model.use_st_att=false,false,true"]
    recipe = load_recipe("phase_a", overrides=sets)
    assert recipe.model.options == {"drop_path_rate": 0.15, "use_st_att": [False, False, True]}


def test_off_is_a_word_and_exponents_are_numbers(tmp_path: Path) -> None:
    assert load_recipe(None, overrides=["training.amp=off"]).training.amp == "off"
    path = tmp_path / "mine.yaml"
    path.write_text("training:\n  amp: off\n  lr: 3e-4\n  nesterov: False\n")
    training = load_recipe(str(path)).training
    assert (training.amp, training.lr, training.nesterov) == ("off", 0.0003, False)


def test_a_dumped_recipe_loads_to_the_same(tmp_path: Path) -> None:
    recipe = load_recipe("utd_mhad", overrides=["training.lr=0.5"])
    path = tmp_path / "again.yaml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)) == recipe


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.lrate=1", "training.lr"),
        ("trainig.lr=1", "training"),
        ("training.epochs=many", "--set training.epochs=many"),
        ("training.optimizer=sdg", "sgd"),
        ("training.epochs=0", "training.epochs"),
        ("augment.mirror=2", "augment.mirror"),
        ("training.lr", "KEY=VALUE"),
        ("model.dropout=2", "model.dropout"),
        ("model.drop_path_rate=much", "model.drop_path_rate"),
        ("training.label_share=0", "above 0 and at most 1"),
        ("training.lr=.nan", "training.lr must be above 0"),
        ("quantize.percentile=50", "above 50 and at most 100"),
        ("input.centre=middle", "one of first, frame, none"),
        ("distill.cache=yes", "off"),
    ],
)
def test_faults_are_named(override: str, named: str) -> None:
    with pytest.raises(UsageError) as error:
        load_recipe(None, overrides=[override])
    assert named.split(".")[-1] in error.value.render()


def test_the_schema_says_of_every_setting_what_it_is() -> None:
    known = settings()
    assert {key.partition(".")[0] for key in known} >= {"seed", "model", "training", "distill", "quantize"}
    assert all(setting.help and setting.allows(setting.default) for setting in known.values() if setting.default != [])
    rate, optimizer, share = known["training.lr"], known["training.optimizer"], known["training.label_share"]
    assert (rate.kind, rate.default, rate.bounds) == (float, 0.1, "above 0")
    assert optimizer.choices == ("sgd", "adamw") and share.bounds == "above 0 and at most 1"
    assert known["training.milestones"].default == [50, 65] and known["distill.losses"].default == []


def test_every_scheduler_of_the_schema_has_a_curve() -> None:
    assert {*AFTER_WARMUP, "constant"} == {*settings()["training.scheduler"].choices}


def test_one_value_is_a_list_of_one() -> None:
    assert load_recipe(None, overrides=["validation.subjects=anna"]).validation.subjects == ["anna"]
    assert load_recipe(None, overrides=["validation.subjects=03,12"]).validation.subjects == ["03", "12"]
    assert load_recipe(None, overrides=["validation.subjects=03"]).validation.subjects == ["03"]


def test_unknown_recipe_and_broken_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shrec17"):
        load_recipe("shrec71")
    with pytest.raises(InputError, match="recipe not found"):
        load_recipe(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("training: [1,")
    with pytest.raises(InputError, match="not YAML"):
        load_recipe(str(broken))


@pytest.mark.parametrize("name", model_names())
def test_only_weights_of_convolutions_and_linear_layers_decay(toy_layout: Layout, name: str) -> None:
    model = create_model(name, spec=InputSpec(toy_layout, frames=16), classes=3)
    groups = decay_groups(model)
    modules = dict(model.named_modules())
    for parameter in groups["decay"]:
        owner, _, last = parameter.rpartition(".")
        assert last == "weight" and isinstance(modules[owner], torch.nn.Conv2d | torch.nn.Linear)
    norms = [f"{prefix}.weight" for prefix, module in modules.items() if isinstance(module, NORMS)]
    assert set(norms) <= set(groups["no_decay"])
    assert sorted(groups["decay"] + groups["no_decay"]) == sorted(name for name, _ in model.named_parameters())


def test_optimizer_decays_one_group(toy_layout: Layout) -> None:
    model = create_model("last_e_nano", spec=InputSpec(toy_layout, frames=16), classes=3)
    decays = [group["weight_decay"] for group in build_optimizer(model, load_recipe(None).training).param_groups]
    assert decays == [0.0004, 0.0]
