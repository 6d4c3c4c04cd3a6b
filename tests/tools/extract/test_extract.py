"""Landmarks and features out of videos: what is done stays done, broken videos stop nobody, the store holds both."""

from __future__ import annotations

import functools
import json
from collections import ChainMap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from last_edge.clips.features import open_features
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.runtime.landmarks import models
from last_edge.skeleton import get_layout
from last_edge.tools.cli import main
from last_edge.tools.cli.doctor import find_data
from last_edge.tools.extract import run as extract_run
from last_edge.tools.extract.plan import Settings, plan_jobs
from last_edge.tools.extract.run import CRASHED, on_a_cluster, on_this_machine

LAYOUT, FRAMES, WIDTH = "mediapipe_hand21", 10, 4


class Detector:
    """Every joint at the image's mean brightness, so that points tell which frame they are of."""

    layout = get_layout(LAYOUT)

    def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
        return np.full((21, 3), image.mean() / 255, np.float32)

    def close(self) -> None:
        return


def write_video(path: Path, frames: int = FRAMES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (48, 32))
    for frame in range(frames):
        writer.write(np.full((32, 48, 3), 20 * (frame % 12), np.uint8))
    writer.release()


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two whole videos and a broken one; detector and vision model are stand-ins that count their calls."""
    folder = tmp_path / "videos"
    for name in ("thanks/00001.avi", "hello/00002.avi"):
        write_video(folder / name)
    (folder / "hello" / "00003.avi").write_bytes(b"RIFF but no video")
    monkeypatch.setattr(extract_run, "create_landmarks", lambda *args, **options: Detector())
    monkeypatch.setattr(
        extract_run, "vision_model", lambda where: lambda images: np.stack([np.full(WIDTH, i.mean()) for i in images])
    )
    vision = tmp_path / "vision"
    vision.mkdir()
    (vision / "config.json").write_text("{}")
    return folder


def extract(videos: Path, *flags: str) -> int:
    out = str(videos.parent / "out")
    return main(["data", "extract", str(videos), "--out", out, "--layout", LAYOUT, "--jobs", "1", "--json", *flags])


def test_the_store_holds_points_and_features(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(videos, "--vision", str(videos.parent / "vision"), "--rows", "3") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["made"], told["before"], list(told["broken"])) == (2, 0, ["hello/00003.avi"])
    store = ClipStore.open(videos.parent / "out" / "store")
    assert store.index.source_id.tolist() == ["hello/00002.avi", "thanks/00001.avi"]
    assert [store.labels[label] for label in store.index.label] == ["hello", "thanks"] and store.fps == 25
    brightness = store.points(0)[0, :, 0, 0] * 255
    np.testing.assert_allclose(brightness, np.arange(FRAMES) * 20, atol=3)
    rows = open_features(store, "visual")
    np.testing.assert_allclose(rows.of(1)[:, 0], [0, 80, 180], atol=3)  # frames 0, 4 and 9
    assert "hello/00003.avi" in json.loads((videos.parent / "out" / "broken.json").read_text())


def test_what_is_done_is_skipped_until_something_changes(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def counts(*flags: str) -> tuple[int, int]:
        assert extract(videos, *flags) == 0
        told = json.loads(capsys.readouterr().out)
        return told["made"], told["before"]

    assert counts() == (2, 0)
    assert counts() == (0, 2)
    write_video(videos / "thanks/00001.avi", frames=4)
    assert counts() == (1, 1)
    assert len(ClipStore.open(videos.parent / "out" / "store").points(1)[0]) == 4
    assert counts("--vision", str(videos.parent / "vision")) == (2, 0)
    (videos.parent / "out/clips/hello/00002.avi.npz").write_bytes(b"half a file")
    assert counts("--vision", str(videos.parent / "vision")) == (1, 1)
    assert counts("--vision", str(videos.parent / "vision"), "--force") == (2, 0)
    assert extract(videos, "--vision", str(videos.parent / "vision"), "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["to do"] == 1  # the broken one is tried again


def test_an_nslt_subset_decides_signs_splits_and_frames(videos: Path, tmp_path: Path) -> None:
    index = tmp_path / "nslt_2.json"
    rows = {"00001": ["train", 1, 3, 6], "00002": ["test", 0, 1, -1], "00009": ["val", 0, 1, 5]}
    index.write_text(json.dumps({name: {"subset": row[0], "action": row[1:]} for name, row in rows.items()}))
    assert extract(videos, "--index", str(index), "--vision", str(videos.parent / "vision"), "--rows", "2") == 0
    store = ClipStore.open(videos.parent / "out" / "store")
    assert (store.index.split.tolist(), store.index.length.tolist()) == (["test", "train"], [10, 4])
    np.testing.assert_allclose(store.points(1)[0, :, 0, 0] * 255, [40, 60, 80, 100], atol=3)
    np.testing.assert_allclose(open_features(store, "visual").of(1)[:, 0], [40, 100], atol=3)


def test_a_sign_after_the_end_is_a_broken_video(videos: Path, tmp_path: Path) -> None:
    index = tmp_path / "nslt_1.json"
    rows = {"00001": [0, 1, 5], "00002": [0, 50, 60]}
    index.write_text(json.dumps({name: {"subset": "train", "action": row} for name, row in rows.items()}))
    assert extract(videos, "--index", str(index)) == 0
    broken = json.loads((videos.parent / "out" / "broken.json").read_text())
    assert list(broken) == ["00002"] and "ends before its sign" in broken["00002"]


def test_a_missing_detector_stops_at_once(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: Any, **options: Any) -> Any:
        raise MissingError("no landmark model", hint="last-edge models fetch hand")

    monkeypatch.setattr(extract_run, "create_landmarks", absent)
    assert extract(videos) == 5


def test_strict_writes_no_store_when_a_video_cannot_be_read(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "extract", str(videos), "--layout", LAYOUT, "--jobs", "1", "--out", str(tmp_path / "out")]
    assert main([*command, "--strict"]) == 3
    assert "1 unreadable, 0 not whole; hello/00003.avi" in capsys.readouterr().err
    assert not (tmp_path / "out" / "store").exists()
    assert main([*command, "--quiet"]) == 0 and len(ClipStore.open(tmp_path / "out" / "store")) == 2


def test_images_are_turned_and_flipped_before_anybody_looks(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, ...]] = []

    class Looking(Detector):
        def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
            sizes.append(image.shape[:2])
            return super().__call__(image, timestamp_s)

    monkeypatch.setattr(extract_run, "create_landmarks", lambda *args, **options: Looking())
    command = ["data", "extract", str(videos), "--layout", LAYOUT, "--jobs", "1", "--quiet"]
    assert main([*command, "--rotate", "90", "--flip", "--person", "left", "--out", str(tmp_path / "out")]) == 0
    assert set(sizes) == {(48, 32)}
    about = ClipStore.open(tmp_path / "out" / "store").about["options"]
    assert (about["rotate"], about["flip"], about["person"]) == (90, True, "left")


def test_folders_mean_what_they_are_said_to_mean(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("training/anna/thanks/1.avi", "Test/bea/hello/1.avi"):
        write_video(tmp_path / "people" / name)
    assert extract(tmp_path / "people", "--folders", "split/person/label") == 0
    store = ClipStore.open(tmp_path / "out" / "store")
    assert store.labels == ("hello", "thanks")
    assert store.index.split.tolist() == ["test", "train"] and store.index.subject.tolist() == ["bea", "anna"]
    for flags, told in (
        ((), "--folders split/label/person"),
        (("--folders", "split/label"), "level"),
        (("--folders", "split/label/sign"), "split, label, person, -"),
        (("--folders", "label/person/split"), "called so"),
    ):
        capsys.readouterr()
        assert extract(tmp_path / "people", *flags) in (2, 3)
        assert told in capsys.readouterr().err


def test_people_are_left_out_without_reading_again(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("hello/anna/1.avi", "thanks/anna/1.avi", "hello/bea/1.avi", "thanks/bea/1.avi", "hello/cleo/1.avi"):
        write_video(tmp_path / "people" / name)
    folders = ("--folders", "label/person")

    def splits(*flags: str) -> dict[str, str]:
        assert extract(tmp_path / "people", *folders, *flags) == 0
        index = ClipStore.open(tmp_path / "out" / "store").index
        return dict(zip(index.source_id.tolist(), index.split.tolist(), strict=True))

    assert set(splits().values()) == {""}
    capsys.readouterr()
    assert main(["train", "--store", str(tmp_path / "out/store"), "--out", str(tmp_path / "run"), "--epochs", "1"]) == 3
    hint = f"try: last-edge data extract VIDEOS --out {tmp_path / 'out'} --leave-out cleo"
    assert hint in capsys.readouterr().err
    told = splits("--leave-out", "anna,cleo")
    assert {name for name, split in told.items() if split == "train"} == {"hello/bea/1.avi", "thanks/bea/1.avi"}
    assert json.loads(capsys.readouterr().out)["made"] == 0
    assert set(splits("--subjects", "anna,bea", "--leave-out", "bea")) == set(told) - {"hello/cleo/1.avi"}
    assert extract(tmp_path / "people", *folders, "--leave-out", "dora") == 2
    assert extract(videos, "--leave-out", "anna") == 2
    assert "--folders label/person, or --test-share 0.2" in capsys.readouterr().err


def test_a_share_of_each_labels_clips_tests(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        for label in ("hello", "bye"):
            write_video(tmp_path / "mine" / label / f"{number}.avi")
    assert extract(tmp_path / "mine", "--test-share", "0.2") == 0
    assert json.loads(capsys.readouterr().out)["store"]["splits"] == {"test": 2, "train": 8}
    index = ClipStore.open(tmp_path / "out" / "store").index
    assert index.source_id[index.split == "test"].tolist() == ["bye/2.avi", "hello/2.avi"]


def prepare_videos(source: Path, *flags: str) -> int:
    out = str(source.parent / "mine")
    return main(["data", "prepare", "videos", str(source), "--out", out, "--layout", LAYOUT, "--jobs", "1", *flags])


def test_videos_become_a_store_and_an_interruption_costs_nothing(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hello/anna/1.avi", "hello/bea/1.avi", "thanks/anna/1.avi", "thanks/bea/1.avi"):
        write_video(tmp_path / "people" / name)
    (tmp_path / "people/thanks/bea/1.avi").rename(tmp_path / "people/thanks/bea/1.AVI")
    (tmp_path / "people/hello/bea/2.avi").write_bytes(b"RIFF but no video")
    flags = ("--folders", "label/person", "--leave-out", "bea")
    calls = []

    class Counting(Detector):
        def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
            calls.append(timestamp_s)
            if len(calls) == 2 * FRAMES + 1:
                raise KeyboardInterrupt
            return super().__call__(image, timestamp_s)

    monkeypatch.setattr(extract_run, "create_landmarks", lambda *args, **options: Counting())
    assert prepare_videos(tmp_path / "people", *flags) == 130
    assert not (tmp_path / "mine").exists()
    capsys.readouterr()
    assert prepare_videos(tmp_path / "people", *flags, "--json") == 0
    assert len(calls) == 4 * FRAMES + 1
    told = json.loads(capsys.readouterr().out)
    assert told["splits"] == {"test": 2, "train": 2} and told["classes"] == 2
    assert len(told["damaged"]) == 1 and told["damaged"][0].startswith("hello/bea/2.avi: ")
    store = ClipStore.open(tmp_path / "mine")
    assert store.about["dataset"] == "videos" and store.units == "image01"
    assert prepare_videos(tmp_path / "people", *flags) == 2  # a store is there
    assert prepare_videos(tmp_path / "people", "--folders", "label/person", "--force") == 0
    assert ClipStore.open(tmp_path / "mine").index.split.tolist() == [""] * 4 and len(calls) == 4 * FRAMES + 1
    capsys.readouterr()
    assert main(["train", "--store", str(tmp_path / "mine"), "--out", str(tmp_path / "run")]) == 3
    assert f"prepare videos SOURCE --out {tmp_path / 'mine'} --force --leave-out bea" in capsys.readouterr().err


def test_half_a_video_is_told(videos: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = videos / "thanks/00001.avi"
    write_video(whole, frames=40)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    for _ in range(2):  # read, and found read
        caplog.clear()
        assert extract(videos) == 0
        assert "not whole: thanks/00001.avi" in caplog.text
    assert 5 < ClipStore.open(videos.parent / "out" / "store").points(1).shape[1] < 35


def test_a_table_says_what_is_seen_when(videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "table.csv"
    rows = ("thanks/00001.avi;thanks;anna;train;;", "hello/00002.avi;hello;bea;test;0.1;0.2",
            "hello/00002.avi;bye;bea;test;0.27;", "hello/gone.avi;hello;bea;test;;")  # fmt: skip
    table.write_text("\ufefffile;label;subject;split;start;end\n" + "\n".join(rows), encoding="utf-8")
    assert prepare_videos(videos, "--index", str(table)) == 0
    store = ClipStore.open(tmp_path / "mine")
    clips = [store.clip(number) for number in range(len(store))]
    assert {clip.source_id: (clip.label, clip.subject, clip.split, clip.frames) for clip in clips} == {
        "hello/00002.avi#0": ("hello", "bea", "test", 3),
        "hello/00002.avi#1": ("bye", "bea", "test", 3),
        "thanks/00001.avi": ("thanks", "anna", "train", FRAMES),
    }
    assert "hello/00003.avi" in caplog.text and "hello/gone.avi" in caplog.text
    for row, told in (("thanks/00001.avi;a;b;train;x;", "not a time"), ("thanks/00001.avi;a;b;train;2;1", "before it")):
        table.write_text("file;label;subject;split;start;end\n" + row)
        with pytest.raises(InputError, match=told):
            plan_jobs(videos, tmp_path, Settings(), index=table)


def test_a_wrong_row_of_a_table_is_left_out_and_named(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = tmp_path / "signs.csv"
    index.write_text(
        "file,label,start,end\nhello/00002.avi,hi,0.2,0.3\nhello/00002.avi,hi,3,2\nthanks/00001.avi,thanks,soon,\n"
        "thanks/00001.avi,thanks\n"
    )
    command = ["data", "extract", str(videos), "--index", str(index), "--layout", LAYOUT, "--jobs", "1", "--quiet"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert ClipStore.open(tmp_path / "out" / "store").labels == ("hi",)
    for line, why in ((3, "ends before it starts"), (4, "not a time"), (5, "more or fewer fields")):
        assert any(f"signs.csv:{line}" in text and why in text for text in caplog.messages)
    assert main([*command, "--strict", "--out", str(tmp_path / "strict")]) == 3
    assert not (tmp_path / "strict" / "store").exists()


ELAN_FILE = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="80"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="200"/>
<TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="240"/><TIME_SLOT TIME_SLOT_ID="d" TIME_VALUE="320"/></TIME_ORDER>
<TIER TIER_ID="gloss">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="1" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">
<ANNOTATION_VALUE>HELLO</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="2" TIME_SLOT_REF1="c" TIME_SLOT_REF2="d">
<ANNOTATION_VALUE>BYE</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def test_annotations_of_elan_are_cut_out_of_their_videos(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """25 frames a second: frames 2 to 5, and 6 to 8."""
    (tmp_path / "elan" / "thanks").mkdir(parents=True)
    (tmp_path / "elan" / "thanks" / "00001.eaf").write_text(ELAN_FILE)
    command = ["data", "extract", str(videos), "--index", str(tmp_path / "elan"), "--layout", LAYOUT, "--jobs", "1"]
    assert main([*command, "--tier", "gloss", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    store = ClipStore.open(tmp_path / "out" / "store")
    assert store.labels == ("BYE", "HELLO") and store.index.length.tolist() == [4, 3]
    assert "2 videos without annotations, left out: hello/00002, hello/00003" in caplog.text
    assert main([*command, "--tier", "left hand", "--out", str(tmp_path / "other")]) == 2


def test_parts_of_a_file_name_mean_what_they_are_said_to_mean(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("001_004_001", "002_005_001", "other"):
        write_video(tmp_path / "lsa" / f"{name}.avi")
    assert extract(tmp_path / "lsa", "--folders", "label_person_-", "--leave-out", "005") == 0
    store = ClipStore.open(tmp_path / "out" / "store")
    assert store.labels == ("001", "002")
    assert store.index.split.tolist() == ["train", "test"] and store.index.subject.tolist() == ["004", "005"]
    assert "a video has another name" in caplog.text and "other.avi" in caplog.text


def test_folders_of_images_are_clips_at_a_rate(videos: Path, tmp_path: Path) -> None:
    for label, count in (("hello", 12), ("thanks", 4)):
        (folder := tmp_path / "images" / label / "take 1").mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 8, 3), 20 * number, np.uint8))
    assert prepare_videos(tmp_path / "images", "--fps", "10") == 0
    store = ClipStore.open(tmp_path / "mine")
    assert store.fps == 10 and store.index.length.tolist() == [12, 4] and store.labels == ("hello", "thanks")
    np.testing.assert_allclose(store.points(0)[0, :, 0, 0] * 255, np.arange(12) * 20, atol=1e-4)


def test_time_stamps_decide_where_frames_come_late(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job, *_) = plan_jobs(videos, videos.parent / "out", Settings(layout=LAYOUT))
    times = np.concatenate([np.arange(10) / 25, 0.4 + np.arange(10) / 12.5])  # a phone's camera when it gets dark
    frames = [(np.full((4, 4, 3), round(200 * time_s), np.uint8), float(time_s)) for time_s in times]
    monkeypatch.setattr(extract_run, "_sign", lambda video, job: iter(frames))
    assert extract_run.extract(job).problem == ""
    result = extract_run.read_result(job)
    assert result is not None and float(result["fps"]) == pytest.approx(19 / times[-1])
    steps = np.diff(result["points"][:, 0, 0])
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.15)


def test_bad_input_is_named(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos"):
        (tmp_path / "empty").mkdir()
        plan_jobs(tmp_path / "empty", tmp_path, Settings())
    with pytest.raises(UsageError, match="mediapipe_pose33"):
        Settings(layout="ntu25")
    with pytest.raises(InputError, match=r"config\.json"):
        Settings(vision=str(tmp_path))


def test_processes_share_the_work_and_a_crash_costs_one_video(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(b"not a video")
    jobs = plan_jobs(tmp_path, tmp_path / "out", Settings(layout=LAYOUT))
    outcomes = {outcome.name: outcome.problem for outcome in on_this_machine(jobs, processes=2)}
    assert set(outcomes) == {"a.mp4", "b.mp4"} and all("not a video" in problem for problem in outcomes.values())
    job: Any = ChainMap()
    job.name = "crash.mp4"
    crash: Any = functools.partial(exec, "import os; os._exit(1)", {})
    assert [outcome.problem for outcome in on_this_machine([job], processes=1, work=crash)] == [CRASHED]


def test_a_cluster_does_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    jobs = plan_jobs(tmp_path, tmp_path / "out", Settings(layout=LAYOUT))
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": None}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        (outcome,) = on_a_cluster(jobs, address=cluster.scheduler_address)
    assert outcome.name == "a.mp4" and "not a video" in outcome.problem
    with pytest.raises(MissingError, match="no Dask scheduler"):
        list(on_a_cluster(jobs, address="tcp://127.0.0.1:9", patience_s=0.2))


def test_features_of_a_real_vision_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from last_edge.tools.extract.run import VisionModel

    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16
    )
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    model = VisionModel(str(tmp_path / "vit"))
    images = [np.random.default_rng(n).integers(0, 255, (48, 64, 3), np.uint8) for n in range(10)]
    features = model(images)
    assert features.shape == (10, 16) and features.dtype == np.float32
    np.testing.assert_allclose(model(images[9:]), features[9:], atol=1e-5)
    assert not np.allclose(features[0], features[1])
    (tmp_path / "vit" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="not a vision model"):
        VisionModel(str(tmp_path / "vit"))


@pytest.mark.slow
def test_a_real_video(tmp_path: Path) -> None:
    clips = find_data("clips")
    if clips is None or not (models.cache_folder() / models.MODELS["hand"].file).is_file():
        pytest.skip("needs real clips (LAST_EDGE_DATA) and `last-edge models fetch hand`")
    (tmp_path / "hoy.mp4").symlink_to(Path(clips) / "msl_hoy_001.mp4")
    command = ["data", "extract", str(tmp_path), "--layout", LAYOUT, "--jobs", "2", "--out", str(tmp_path / "out")]
    assert main([*command, "--quiet"]) == 0
    store = ClipStore.open(tmp_path / "out" / "store")
    assert len(store) == 1 and np.isfinite(store.points(0)).any(axis=(0, 2, 3)).mean() > 0.3
