"""Whatever stands in a file that a command reads, it ends with an error that a user can act on, never with a bug."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import write_archive
from last_edge.errors import EXIT_BUG
from last_edge.skeleton import get_layout
from last_edge.tools import cli
from tests.data.readers.samples import SAMPLES
from tests.fuzz.mutate import budget, changed_file

MakeBundle = Callable[..., Path]
Command = Callable[[Path], list[str]]


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


def skeleton_text(folder: Path, bundle: Path, store: Path) -> list[str]:
    body = "72057594037931101 0 1 1 0 0 0 0.1 0.2 2\n25\n" + ("0.1 0.2 0.3 1 1 1 1 0 0 0 1 2\n" * 25)
    (folder / "ntu").mkdir()
    (folder / "ntu" / "S001C001P001R001A001.skeleton").write_text("3\n" + ("1\n" + body) * 3)
    return ["data", "prepare", "ntu", "ntu", "--missing-list", "none", "--out", "out", "--quiet", "--strict"]


def hands_text(folder: Path, bundle: Path, store: Path) -> list[str]:
    clip = folder / "shrec" / "gesture_1" / "finger_1" / "subject_1" / "essai_1"
    clip.mkdir(parents=True)
    (clip / "skeletons_world.txt").write_text("\n".join([" ".join(["0.5"] * 66)] * 9) + "\n")
    (folder / "shrec" / "train_gestures.txt").write_text("1 1 1 1 1 1 9\n")
    (folder / "shrec" / "test_gestures.txt").write_text("")
    return ["data", "prepare", "shrec17", "shrec", "--out", "out", "--quiet", "--strict"]


def npz_folder(folder: Path, bundle: Path, store: Path) -> list[str]:
    (folder / "rec").mkdir()
    about = {"lengths": [9], "labels": ["a"], "subjects": ["1"], "split": ["train"]}
    np.savez(folder / "rec" / "clip.npz", frames=np.ones((9, 22, 3), np.float32), **about)
    return ["data", "prepare", "npz", "rec", "--layout", "shrec22", "--units", "metres", "--out", "out", "--quiet"]


def mat_files(folder: Path, bundle: Path, store: Path) -> list[str]:
    from scipy.io import savemat

    (folder / "utd").mkdir()
    savemat(folder / "utd" / "a1_s1_t1_skeleton.mat", {"d_skel": np.ones((20, 3, 9))})
    return ["data", "prepare", "utd_mhad", "utd", "--out", "out", "--quiet"]


def sample(name: str) -> Callable[[Path, Path, Path], list[str]]:
    def make(folder: Path, bundle: Path, store: Path) -> list[str]:
        return [
            "data",
            "prepare",
            *SAMPLES[name](folder / "files"),
            "--out",
            str(folder / "out"),
            "--quiet",
            "--strict",
        ]

    return make


TARGETS: dict[str, Callable[[Path, Path, Path], list[str]]] = {
    "bundle": bundle_folder, "unsealed bundle": bundle_unsealed, "bundle archive": bundle_archive,
    "store": store_folder, "layout": layout_file, "recipe": recipe_file, "report": report_file,
    "ntu": skeleton_text, "shrec17": hands_text, "npz": npz_folder, "utd_mhad": mat_files,
    **{name: sample(name) for name in SAMPLES},
}  # fmt: skip


@pytest.fixture
def playground(
    tmp_path: Path, make_bundle: MakeBundle, toy_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Callable[[st.DataObject], None]]:
    """`playground(target)` prepares its files; what it gives changes one, runs the command and puts it back."""
    work = tmp_path / "work"
    work.mkdir()
    bundle = make_bundle()
    monkeypatch.chdir(work)

    def prepare(name: str) -> Callable[[st.DataObject], None]:
        command = TARGETS[name](work, bundle, toy_store)
        files = sorted(path for path in work.rglob("*") if path.is_file())

        def try_one(data: st.DataObject) -> None:
            path, content = data.draw(changed_file(files))
            before = path.read_bytes()
            path.write_bytes(content)
            try:
                assert cli.main(command) != EXIT_BUG, f"{path.name}: {content[:200]!r}"
            finally:
                path.write_bytes(before)
                shutil.rmtree(work / "out", ignore_errors=True)

        return try_one

    return prepare


@pytest.mark.parametrize("name", TARGETS)
def test_no_changed_file_is_a_bug(name: str, playground: Callable[[str], Callable[[st.DataObject], None]]) -> None:
    try_one = playground(name)

    @budget()
    @given(st.data())
    def run(data: st.DataObject) -> None:
        try_one(data)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_ten_thousand_changed_files_are_no_bug(
    name: str, playground: Callable[[str], Callable[[st.DataObject], None]]
) -> None:
    try_one = playground(name)

    @budget(10_000)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        try_one(data)

    run()
