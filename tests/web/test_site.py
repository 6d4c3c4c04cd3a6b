"""What the page is made of: the manifest decides, only made clips go in, and an export is whole or absent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.clips.writer import writing_store
from last_edge.data.synth import SynthOptions, gloss_names
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.runtime.recognise.decoding import DecodingOptions
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.web.describe import store_clips
from last_edge.runtime.web.server import policy_of
from last_edge.runtime.web.site import INDEX, Site, export_site, make_site, static_files
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli.web import made_signs
from tests.conftest import TINY_LABELS, MakeBundle

pytestmark = pytest.mark.usefixtures("offline")
HAND = get_layout("mediapipe_hand21")


def site_of(path: Path, **options: Any) -> tuple[Site, dict[str, Any]]:
    site = make_site(Bundle.open(path), **options)
    return site, json.loads(site.files["site.json"])


def hand_store(path: Path, *, dataset: str) -> Path:
    random = np.random.default_rng(0)
    about = {"dataset": dataset, "licence": "generated"}
    with writing_store(path, layout=HAND, units="image01", labels=("left", "up"), about=about, force=False) as writer:
        for number in range(8):
            clip = SkeletonClip.from_points(
                random.normal(0.5, 0.1, (1, 10 + number, 21, 3)).astype(np.float32), layout=HAND, fps=25,
                units="image01", label=("left", "up")[number % 2], subject=str(number // 4), source_id=f"clip{number}",
                split="train" if number < 4 else "test",
            )  # fmt: skip
            writer.add(clip)
    return path


def test_the_manifest_decides_labels_window_and_thresholds(make_bundle: MakeBundle) -> None:
    site, page = site_of(make_bundle(frames=24, accept=0.7))
    assert page["labels"] == list(TINY_LABELS)
    assert (page["input"]["frames"], page["threshold"]) == (24, 0.7)
    assert page["input"]["layout"]["names"] == list(HAND.names)
    assert [graph["file"] for graph in page["graphs"]] == ["bundle/model.fp32.onnx"]
    assert len(site.files["bundle/model.fp32.onnx"]) == page["graphs"][0]["bytes"]


def test_decoding_is_set_as_in_the_python_runtime(make_bundle: MakeBundle) -> None:
    options, usual = site_of(make_bundle())[1]["options"], RecogniseOptions()
    assert (options["window_s"], options["stride_s"], options["gap_s"]) == (usual.window_s, usual.stride_s, usual.gap_s)
    assert options["decoding"]["confirm"] == DecodingOptions().confirm
    assert options["decoding"]["cooldown_s"] == DecodingOptions().cooldown_s


def test_points_of_a_hand_become_those_of_the_bundle(make_bundle: MakeBundle) -> None:
    source = site_of(make_bundle(layout="shrec22", units="metres"))[1]["camera"]["source"]
    assert source["turn"] and source["limb_metres"] == 0.10
    assert source["recipes"]["right"][1] == [0, 5, 9, 13, 17]


def test_points_of_the_same_joints_are_left_alone(make_bundle: MakeBundle) -> None:
    same = site_of(make_bundle())[1]["camera"]["source"]
    assert (same["recipes"], same["turn"], same["limb_metres"]) == (None, False, None)


def test_a_model_that_reads_more_than_landmarks_is_refused(make_bundle: MakeBundle) -> None:
    opened = Bundle.open(make_bundle())
    reads = {"features": "video", "feature_frames": 4, "feature_dim": 8}
    model = replace(opened.manifest.model, kwargs=opened.manifest.model.kwargs | reads)
    more = Bundle(opened.path, replace(opened.manifest, model=model), opened.contents)
    with pytest.raises(InputError, match="a browser has no such features") as caught:
        make_site(more)
    assert "'video'" in str(caught.value.got)


def test_a_bundle_that_no_detector_feeds_has_clips_and_no_camera(make_bundle: MakeBundle) -> None:
    site, page = site_of(make_bundle(layout="hololens26", units="metres"))
    assert page["camera"] is None and site.detector is None and site.clips == 1
    assert not [name for name in site.files if "mediapipe" in name or name.startswith("landmarks/")]


def test_a_detector_that_does_not_fit_is_refused(make_bundle: MakeBundle) -> None:
    with pytest.raises(UsageError, match="no conversion"):
        site_of(make_bundle(), landmarks="pose")


def test_golden_tensors_are_where_the_page_looks(make_bundle: MakeBundle) -> None:
    path = make_bundle()
    site, page = site_of(path)
    floats = np.frombuffer(site.files["clips.bin"], "<f4")
    place = page["golden"]["points"]
    found = floats[place["offset"] :][: int(np.prod(place["shape"]))].reshape(place["shape"])
    np.testing.assert_array_equal(found, Bundle.open(path).golden.points)
    assert set(page["golden"]["logits"]) == {"fp32"}


def test_made_clips_of_every_class_go_in(make_bundle: MakeBundle, tmp_path: Path) -> None:
    site, page = site_of(
        make_bundle(), clips=store_clips(hand_store(tmp_path / "made", dataset="synth"), TINY_LABELS, count=3)
    )
    first = page["clips"][:3]
    assert site.clips == 4 and [clip["label"] for clip in first] == ["left", "", "left"]
    assert first[0]["name"] == "left, signer 1" and first[0]["fps"] == 25
    assert first[0]["points"]["shape"] == [1, 14, 21, 3]


def test_made_signs_are_of_the_classes_that_a_bundle_knows() -> None:
    known = gloss_names(SynthOptions(glosses=8))
    spec = InputSpec(get_layout("shrec22"))
    clips = made_signs(spec, known, count=3)
    assert [clip.label in known for clip in clips] == [True] * 3 and clips[0].label
    assert [clip.label for clip in made_signs(spec, TINY_LABELS, count=2)] == ["", ""]
    assert made_signs(InputSpec(get_layout("hololens26")), TINY_LABELS, count=2) == []


def test_recordings_of_people_stay_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only made clips"):
        store_clips(hand_store(tmp_path / "people", dataset="shrec17"), TINY_LABELS, count=3)


def test_export_writes_every_file_and_replaces_only_its_own(make_bundle: MakeBundle, tmp_path: Path) -> None:
    site, _ = site_of(make_bundle())
    export_site(site, tmp_path / "out")
    written = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert written == set(site.files)
    with pytest.raises(UsageError, match="will not overwrite"):
        export_site(site, tmp_path / "out")
    (tmp_path / "out" / "old.txt").write_text("left behind")
    export_site(site, tmp_path / "out", force=True)
    assert not (tmp_path / "out" / "old.txt").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="another kind"):
        export_site(site, tmp_path / "other", force=True)


def test_notice_names_every_part_and_its_terms(make_bundle: MakeBundle) -> None:
    text = site_of(make_bundle())[0].files["NOTICE.txt"].decode()
    for words in ("onnxruntime-web 1.30.0: MIT", "@mediapipe/tasks-vision 0.10.33: Apache-2.0", "tiny: terms unknown"):
        assert words in text


def test_the_page_may_talk_to_nobody_else() -> None:
    files = dict(static_files())
    policy = policy_of(files[INDEX])
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe-eval'" in policy
    assert "'unsafe-eval'" not in policy and "'unsafe-inline'" not in policy and "http" not in policy
    for name, content in files.items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text, name
        assert "innerHTML" not in text and "eval(" not in text, name


def test_every_file_that_the_page_names_is_there(make_bundle: MakeBundle) -> None:
    import posixpath
    import re

    files = make_site(Bundle.open(make_bundle())).files
    for name in files:
        if name.endswith((".html", ".js")) and not name.startswith("lib/"):
            text = files[name].decode()
            named = re.findall(r'(?:from|src=|href=)\s*"([^"#:]+)"', text)
            paths = [posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in named]
            assert [path for path in paths if path not in files] == [], name
