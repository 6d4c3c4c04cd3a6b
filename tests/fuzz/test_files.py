"""Whatever stands in a file that a command reads, it ends with an error that a user can act on, never with a bug."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperGroup

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import write_archive
from last_edge.errors import EXIT_BUG
from last_edge.skeleton import get_layout
from last_edge.tools import cli
from last_edge.tools.register import Settings
from tests.data.readers.samples import OTHERS, SAMPLES
from tests.fuzz.mutate import COUNTS, budget, changed_file

MakeBundle = Callable[..., Path]
Playground = Callable[[str], tuple[st.SearchStrategy[tuple[Path, bytes]], Callable[[tuple[Path, bytes]], None]]]
Target = Callable[[Path, Path, Path], list[str]]
"""Puts files into a folder and says the command that reads them, given a bundle and a store."""


def bundle_folder(folder: Path, bundle: Path, store: Path) -> list[str]:
    shutil.copytree(bundle, folder / "b")
    return ["run", "b", "--source", "synthetic", "--no-window", "--limit", "5", "--quiet"]


def bundle_unsealed(folder: Path, bundle: Path, store: Path) -> list[str]:
    """Looked at by `verify`, which opens what has no right hash too."""
    shutil.copytree(bundle, folder / "b")
    return ["verify", "b", "--quiet", "--json"]


def bundle_archive(folder: Path, bundle: Path, store: Path) -> list[str]:
    write_archive(folder / "b.last", dict(Bundle.open(bundle).contents))
    return ["run", "b.last", "--source", "synthetic", "--no-window", "--limit", "5", "--quiet"]


def store_folder(folder: Path, bundle: Path, store: Path) -> list[str]:
    shutil.copytree(store, folder / "s")
    return ["data", "info", "s", "--gates", "--quiet", "--json"]


def layout_file(folder: Path, bundle: Path, store: Path) -> list[str]:
    layout = get_layout("shrec22")
    content = {"name": "mine", "names": list(layout.names), "parents": list(layout.parents), "pairs": [],
               "centre": [0], "scale": [[0], [1]]}  # fmt: skip
    (folder / "mine.json").write_text(json.dumps(content))
    (folder / "rec").mkdir()
    about = {"lengths": [9], "labels": ["a"], "subjects": ["1"], "split": ["train"]}
    np.savez(folder / "rec" / "clip.npz", frames=np.ones((9, 22, 3), np.float32), **about)
    return ["data", "prepare", "npz", "rec", "--layout", "mine.json", "--units", "metres", "--out", "out", "--quiet"]


def recipe_file(folder: Path, bundle: Path, store: Path) -> list[str]:
    recipe = Path(__file__).parents[2] / "train" / "recipes" / "demo.yaml"
    shutil.copy(recipe, folder / "mine.yaml")
    return ["train", "--model", "last_lite_nano", "--store", str(store), "--recipe", "mine.yaml", "--out", "r",
            "--dry-run", "--quiet"]  # fmt: skip


def report_file(folder: Path, bundle: Path, store: Path) -> list[str]:
    asked = {"paths": ["nothing"], "stores": [], "ablations": [], "bench": False, "threads": 1, "gestures": 0,
             "budget_ms": None, "budget_kb": None}  # fmt: skip
    said = {"schema_version": 2, "rows": [], "runs": [], "bundles": [], "files": {"a": "0"}, "stores": {},
            "timed": [], "title": "t", "environment": {}, "asked": asked}  # fmt: skip
    (folder / "report.json").write_text(json.dumps(said))
    return ["verify", "report.json", "--quiet"]


def records_file(folder: Path, bundle: Path, store: Path) -> list[str]:
    shutil.copy(Path(__file__).parents[2] / "docs" / "benchmarks" / "training.json", folder / "training.json")
    return ["bench", "train", "--join", "training.json", "--quiet", "--json"]


def run_folder(folder: Path, bundle: Path, store: Path) -> list[str]:
    recipe = ["--recipe", "demo", "--set", "training.epochs=1", "--set", "input.frames=16", "--threads", "1"]
    made = ["train", "--model", "last_lite_nano", "--store", str(store), "--out", "run", *recipe, "--quiet"]
    assert cli.main(made) == 0
    return ["eval", "run", "--store", str(store), "--quiet", "--json"]


def recordings(sample: Callable[[Path], list[str]]) -> Target:
    """What `data prepare` reads, in a small form of its own."""

    def make(folder: Path, bundle: Path, store: Path) -> list[str]:
        out = ["--out", str(folder / "out"), "--quiet", "--strict"]
        return ["data", "prepare", *sample(folder / "files"), *out]

    return make


TARGETS: dict[str, Target] = {
    "bundle": bundle_folder, "unsealed bundle": bundle_unsealed, "bundle archive": bundle_archive,
    "store": store_folder, "layout": layout_file, "recipe": recipe_file, "report": report_file,
    "run": run_folder, "records": records_file,
    **{name: recordings(sample) for name, sample in (SAMPLES | OTHERS).items()},
}  # fmt: skip


def parsed(whole: Any, words: list[str]) -> Callable[..., None]:
    """The command of some words, put together and parsed once, not for each input."""
    context = whole.make_context("last-edge", list(words), obj=Settings())
    while isinstance(context.command, TyperGroup):
        with context:
            name, inner, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
            context = inner.make_context(name, rest, parent=context)

    def invoke(**given: Any) -> None:
        with context:
            context.command.invoke(context)

    return invoke


@pytest.fixture
def playground(tmp_path: Path, make_bundle: MakeBundle, toy_store: Path, monkeypatch: pytest.MonkeyPatch) -> Playground:
    """`playground(target)` prepares its files; it gives changes of one, and what runs the command on such a change."""
    work = tmp_path / "work"
    work.mkdir()
    bundle = make_bundle()
    monkeypatch.chdir(work)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    whole = typer.main.get_command(cli.application())

    def prepare(name: str) -> Any:
        command = TARGETS[name](work, bundle, toy_store)
        once = parsed(whole, command)
        monkeypatch.setattr(cli, "application", lambda words: once)
        whole_files = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}

        def try_one(change: tuple[Path, bytes]) -> None:
            path, content = change
            path.write_bytes(content)
            try:
                assert cli.main(command) != EXIT_BUG, f"{path.name}: {content[:200]!r}"
            finally:
                path.write_bytes(whole_files[path])
                shutil.rmtree(work / "out", ignore_errors=True)

        return changed_file(whole_files), try_one

    return prepare


@COUNTS
@pytest.mark.parametrize("name", TARGETS)
def test_no_changed_file_is_a_bug(name: str, count: int, playground: Playground) -> None:
    changes, try_one = playground(name)
    budget(count)(given(changes)(try_one))()
