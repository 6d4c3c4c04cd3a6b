"""Every command of the training document is in docs/command_map.md and resolves to the document's values."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from last_edge.errors import UsageError
from last_edge.models import resolve_name
from last_edge.tools.cli import main
from last_edge.tools.cli.training import Flags, choose, store_path
from last_edge.train.environment import detect, load_profile, profile_names
from last_edge.train.processes import resolve_amp
from last_edge.train.recipe import recipe_files

PAGE = (Path(__file__).parents[3] / "docs" / "command_map.md").read_text()
BLOCKS = [block.replace("\\\n", " ") for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)]
THEIRS = [block.removeprefix("python scripts/train.py") for block in BLOCKS if block.startswith("python")]
OURS = [block.removeprefix("last-edge train") for block in BLOCKS if block.startswith("last-edge train")]
COMBINED = {
    "epochs": 90, "batch_size": 32, "gradient_accumulation_steps": 2, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9,
    "nesterov": True, "weight_decay": 0.0004, "scheduler": "cosine_warmup_restart", "warmup_epochs": 5,
    "warmup_start_lr": 0.01, "min_lr": 0.0001, "restart_period": 30, "restart_mult": 1, "label_smoothing": 0.1,
    "ib_loss_weight": 0.01, "gradient_clip": 1.0, "amp": "auto", "save_interval": 10, "workers": 2,
}  # fmt: skip
DEFAULTS = {
    "epochs": 90, "batch_size": 32, "lr": 0.1, "optimizer": "sgd", "momentum": 0.9, "nesterov": True,
    "weight_decay": 0.0004, "scheduler": "cosine_warmup", "warmup_epochs": 5, "warmup_start_lr": 0.01, "min_lr": 0.0001,
    "label_smoothing": 0.1, "gradient_clip": 1.0, "ib_loss_weight": 0.01,
}  # fmt: skip
EXPECTED = [COMBINED, DEFAULTS | {"epochs": 2, "batch_size": 4}, DEFAULTS | {"workers": 2}]
STORES = ["/kaggle/input/last-edge/ntu60_xsub", "data/ntu60_xsub", "/kaggle/input/my-custom-dataset/ntu60_xsub"]


def dry_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = main(["train", *arguments, "--dry-run", "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    result: dict[str, Any] = json.loads(captured.out)
    return result | {"recipe": yaml.safe_load(result["recipe"])}


def test_the_page_holds_the_documents_commands_in_pairs() -> None:
    assert len(THEIRS) == len(OURS) == len(EXPECTED)


@pytest.mark.parametrize(("command", "expected"), zip(THEIRS, EXPECTED, strict=True))
def test_a_command_of_the_document_resolves_to_its_tables(
    toy_store: Path, capsys: pytest.CaptureFixture[str], command: str, expected: dict[str, Any]
) -> None:
    recipe = dry_run(capsys, *shlex.split(command), "--store", str(toy_store))["recipe"]
    assert {key: recipe["training"][key] for key in expected} == expected
    assert (recipe["seed"], recipe["input"]["frames"]) == (42, 64)


def test_the_combined_run_has_the_documents_model_and_rates(
    toy_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = dry_run(capsys, *shlex.split(THEIRS[0]), "--store", str(toy_store))
    model = preview["recipe"]["model"]
    assert model["name"] == "base_e_v3"
    assert model["options"] == {"dropout": 0.3, "drop_path_rate": 0.15, "use_st_att": [False, False, True]}
    assert preview["effective_batch"] == 64
    assert preview["lr"][:6] == pytest.approx([0.01, 0.028, 0.046, 0.064, 0.082, 0.1])
    assert [epoch for epoch, rate in enumerate(preview["lr"]) if rate == 0.1] == [5, 35, 65]
    assert (len(preview["lr"]), preview["restarts"], preview["final_lr"]) == (
        90,
        [35, 65],
        pytest.approx(0.0068, abs=1e-4),
    )
    assert resolve_amp(preview["recipe"]["training"]["amp"], "cuda") == torch.float16


@pytest.mark.parametrize(("theirs", "ours"), zip(THEIRS, OURS, strict=True))
def test_ours_is_the_same_run(toy_store: Path, capsys: pytest.CaptureFixture[str], theirs: str, ours: str) -> None:
    left, right = (dry_run(capsys, *shlex.split(text), "--store", str(toy_store)) for text in (theirs, ours))
    assert left["recipe"]["training"] == right["recipe"]["training"]
    assert (left["params"], left["lr"]) == (right["params"], right["lr"])
    assert resolve_name(left["recipe"]["model"]["name"]) == resolve_name(right["recipe"]["model"]["name"])


@pytest.mark.parametrize(("command", "store"), zip(THEIRS, STORES, strict=True))
def test_the_store_follows_from_dataset_split_and_root(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *shlex.split(command), "--dry-run"]) == 3
    message = capsys.readouterr().err
    assert store in message
    assert f"last-edge data prepare ntu FOLDER --classes 60 --split-type xsub --out {store}" in message


def test_store_names() -> None:
    root = Path("r")
    assert store_path("ntu120", "xset", root) == Path("r/ntu120_xset")
    assert store_path("shrec17", None, root) == Path("r/shrec17")
    assert store_path("shrec17", "28", root) == Path("r/shrec17_28")
    with pytest.raises(UsageError, match="no such protocol"):
        store_path("ntu60", "xset", root)


def test_set_wins_over_flags_environment_and_recipe() -> None:
    flags = Flags(values={"training.lr": 0.2, "training.epochs": 7}, recipe="phase_a", store=Path("s"), env="a100")
    training = choose(flags).recipe.training
    assert (training.lr, training.epochs, training.batch_size, training.amp) == (0.2, 7, 128, "bf16")
    assert (training.warmup_start_lr, training.gradient_accumulation_steps) == (0.014, 1)
    won = choose(dataclasses.replace(flags, set_=["training.lr=0.3", "training.batch_size=8"]))
    assert (won.recipe.training.lr, won.recipe.training.batch_size) == (0.3, 8)


def test_rates_of_an_environment_are_for_sgd_alone() -> None:
    training = choose(Flags(recipe="shrec17", store=Path("s"), env="a100")).recipe.training
    assert (training.optimizer, training.lr, training.batch_size, training.workers) == ("adamw", 0.003, 32, 8)


def test_the_local_environment_changes_nothing_and_is_the_default(tmp_path: Path) -> None:
    assert load_profile("local").overrides("sgd") == []
    assert detect(tmp_path) == "local"
    (tmp_path / "kaggle").mkdir()
    assert detect(tmp_path) == "kaggle"


@pytest.mark.parametrize(("typed", "amp"), [(None, "bf16"), (True, "auto"), (False, "off")])
def test_amp_flag(typed: bool | None, amp: str) -> None:
    assert choose(Flags(recipe="shrec17", store=Path("s"), env="local", amp=typed)).recipe.training.amp == amp


def test_the_page_names_every_profile_flag_and_phase() -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9]+)` \|.*\| (\d+, \d+) \|$", PAGE, flags=re.MULTILINE))
    guidance = {name: load_profile(name).batch_guidance for name in profile_names()}
    assert rows == {name: f"{sizes['last_v2']}, {sizes['last_e']}" for name, sizes in guidance.items()}
    phases = set(re.findall(r"`(phase_\w+|legacy_\w+)` \|", PAGE))
    assert phases == {name for name in recipe_files() if name.startswith(("phase_", "legacy_"))}
    for theirs, ours in re.findall(r"^\| `(\w+)` \| `(last_\w+)` \|$", PAGE, flags=re.MULTILINE):
        assert resolve_name(theirs) == resolve_name(ours) == ours


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--env", "lamda"], "lambda"),
        (["--model", "last_e_base", "--set", "model.drop_pth_rate=0.1"], "drop_path_rate"),
        (["--dataset", "ntu60", "--split-type", "xset"], "xview"),
        (["--epochs", "0"], "training.epochs"),
        (["stray"], "KEY=VALUE"),
    ],
)
def test_faults_are_named(
    toy_store: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    store = [] if "--dataset" in arguments else ["--store", str(toy_store)]
    assert main(["train", *arguments, *store, "--dry-run"]) == 2
    assert named in capsys.readouterr().err


def test_a_dry_run_prints_the_rate_of_each_epoch(toy_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--store", str(toy_store), "--recipe", "phase_d", "--dry-run"]) == 0
    lines = re.findall(r"^ +(\d+)  (0\.\d{6})$", capsys.readouterr().out, flags=re.MULTILINE)
    assert [int(epoch) for epoch, _ in lines] == list(range(95))
    assert [lines[epoch][1] for epoch in (0, 5, 34, 35, 65)] == [
        "0.010000",
        "0.100000",
        "0.000374",
        "0.100000",
        "0.100000",
    ]
