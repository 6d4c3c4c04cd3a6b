"""`last_edge.train`, `export` and `quantize` from a script: from a store to a model that answers."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import last_edge
from last_edge import Recogniser, api
from last_edge.clips import ClipStore
from last_edge.errors import UsageError
from last_edge.tasks.config import QuantizeConfig

QUICK = {"training.epochs": 1, "training.batch_size": 16, "input.frames": 16}
LOOSE = {"max_drop": 100, "min_agreement": 0, "max_class_drop": 100, "max_bytes_fixed": 10**6, "min_speedup": 0}


def test_from_a_store_to_a_model_that_answers(toy_store: Path, tmp_path: Path) -> None:
    rows: list[int] = []
    final = last_edge.train(
        store=toy_store, out=tmp_path / "run", model="last_lite_nano", seed=3, settings=QUICK, threads=1,
        report=lambda row, epochs: rows.append(epochs),
    )  # fmt: skip
    assert (final["epochs"], final["seed"], final["model"], rows) == (1, 3, "last_lite_nano", [1])
    manifest = last_edge.export(run=tmp_path / "run", out=tmp_path / "bundle", store=toy_store)
    assert manifest.precisions == ("fp32",) and manifest.metrics["fp32"]["n"] == final["test"]["n"]
    made = last_edge.quantize(
        bundle=tmp_path / "bundle", store=toy_store, settings={f"quantize.{key}": value for key, value in LOOSE.items()}
    )
    assert made.manifest.precisions == ("fp32", "int8") and all(gate.holds for gate in made.gates)
    clip = ClipStore.open(toy_store).clip(0)
    with Recogniser.open(tmp_path / "bundle") as model:
        assert model.precision == "int8" and model.predict(clip.coords, fps=clip.fps).best.label in manifest.labels


def test_train_and_export_are_packages_and_functions_at_once() -> None:
    import last_edge.export
    import last_edge.train
    from last_edge.train.recipe import load_recipe

    assert inspect.ismodule(last_edge.train) and last_edge.train.recipe.load_recipe is load_recipe
    for package in (last_edge.train, last_edge.export):
        with pytest.raises(TypeError, match="required keyword-only argument"):
            package()


def test_defaults_are_those_of_the_commands() -> None:
    defaults = {name: value.default for name, value in inspect.signature(api.quantize).parameters.items()}
    assert (defaults["target"], defaults["split"], defaults["seed"], defaults["qat"]) == ("cpu-vnni", "test", 0, False)
    assert set(LOOSE) < set(QuantizeConfig.__dataclass_fields__)


def test_a_wrong_setting_is_named(toy_store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"training\.epoch"):
        last_edge.train(store=toy_store, out=tmp_path / "run", settings={"training.epoch": 3})
