"""Teaching in the page: the last layer that it trains, the file of takes, and the features that a graph gives out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from last_edge.runtime.web import site as sites
from last_edge.runtime.web.describe import features_of
from last_edge.skeleton import get_layout
from last_edge.tools.teach.takes import from_takes
from tests.web.conftest import listening, opened, real_site

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "zoo" / "last_lite_nano_live14"
HAND = get_layout("mediapipe_hand21")
WAYS = {"left": (-0.3, 0.0), "up": (0.0, -0.3), "nothing": (0.0, 0.0)}


@pytest.fixture
def node(tmp_path: Path) -> Callable[[str, Any], Any]:
    """`node(script, given)` runs a script beside the page's modules, `given` as a name in it; what it returns."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("needs node: apt-get install nodejs")
    shutil.copytree(ROOT / "runtime/web/static/js", tmp_path / "js")
    (tmp_path / "package.json").write_text('{"type": "module"}')

    def run(script: str, given: Any) -> Any:
        whole = f"{script}\nconst given = {json.dumps(given)};\nconsole.log(JSON.stringify(main(given)));"
        (tmp_path / "script.js").write_text(whole)
        done = subprocess.run([program, tmp_path / "script.js"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


TRAIN = """import { heldOut, trainHead } from "./js/teach/head.js";
const main = ({ rows, classes, takes, count, fresh }) => {
  const head = trainHead(rows, classes, count);
  return { logits: fresh.map((row) => head.logits(row)), found: heldOut(rows, classes, takes, count) };
};"""


def test_a_head_separates_classes_and_counts_what_was_left_out(node: Callable[[str, Any], Any]) -> None:
    random = np.random.default_rng(0)
    centres = random.normal(0, 1, (3, 24))
    classes = np.repeat(np.arange(3), 10)
    takes = np.arange(30)
    rows = centres[classes] + random.normal(0, 0.4, (30, 24))
    fresh = centres[classes] + random.normal(0, 0.4, (30, 24))
    given = {"rows": [*rows.tolist(), *rows.tolist()], "classes": [*classes.tolist()] * 2,
             "takes": [*takes.tolist()] * 2, "count": 3, "fresh": fresh.tolist()}  # fmt: skip
    got = node(TRAIN, given)
    assert (np.argmax(got["logits"], axis=1) == classes).all()
    assert got["found"] == {"right": 30, "takes": 30}
    shuffled = random.permutation(classes)
    lost = node(TRAIN, {**given, "classes": [*shuffled.tolist()] * 2})
    assert lost["found"]["right"] < 20, "labels without meaning are not recognised in takes that were left out"


TAKES = """import { Takes } from "./js/teach/takes.js";
import { Points } from "./js/points.js";
const main = ({ layout, frames, times }) => {
  const takes = new Takes(layout, "image01");
  const numbers = (frame) => Float32Array.from(frame.flat(), (value) => value ?? NaN);
  const points = frames.map((frame) => new Points(1, 1, 21, 3, numbers(frame)));
  const empty = new Points(1, 1, 21, 3);
  const why = [takes.add("wave", points, times), takes.add("wave", Array(9).fill(empty), times.slice(0, 9))];
  const text = takes.toText();
  takes.addText(text);
  let refused = "";
  try { takes.addText(text.replace("mediapipe_hand21", "shrec22")); } catch (error) { refused = error.message; }
  return { why, text, count: takes.count("wave"), refused };
};"""


def test_takes_of_the_page_are_what_teach_reads(node: Callable[[str, Any], Any], tmp_path: Path) -> None:
    points = np.random.default_rng(1).random((20, 21, 3)).round(4)
    points[:3] = np.nan
    points[5, 7] = np.nan
    frames = np.where(np.isnan(points), None, points).tolist()  # type: ignore[call-overload]
    times = (np.arange(20) / 25).tolist()
    got = node(TAKES, {"layout": {"name": "mediapipe_hand21"}, "frames": frames, "times": times})
    assert got["why"] == ["", "nothing was in view"] and got["count"] == 2
    assert "These takes are shrec22" in got["refused"]
    (tmp_path / "takes").mkdir()
    (tmp_path / "takes" / "takes.json").write_text(got["text"])
    (clip,) = from_takes(tmp_path / "takes")
    assert (clip.label, clip.fps, clip.layout) == ("wave", 25.0, HAND)
    np.testing.assert_allclose(clip.coords[0], points[3:], atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_graph_gives_out_what_its_last_layer_reads(precision: str) -> None:
    graph = (BUNDLE / f"model.{precision}.onnx").read_bytes()
    found = features_of(graph)
    assert found is not None
    session = onnxruntime.InferenceSession(graph + found.behind)
    points = np.random.default_rng(2).random((1, 32, 22, 3)).astype(np.float32)
    logits, features = session.run(None, {"landmarks": points})
    model = onnx.load_from_string(graph)
    (last,) = [node for node in model.graph.node if list(node.output) == ["logits"]]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    expected = features @ weights[last.input[1]].T + weights[last.input[2]]
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_graph_without_a_last_layer_of_its_own_gives_none() -> None:
    points = onnx.helper.make_tensor_value_info("landmarks", onnx.TensorProto.FLOAT, [1, 4])
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 4])
    node = onnx.helper.make_node("Relu", ["landmarks"], ["logits"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "plain", [points], [logits]))
    assert features_of(model.SerializeToString()) is None


def hand(label: str, number: int) -> list[Any]:
    """(T, V, C) of a hand that goes a way, trembling."""
    random = np.random.default_rng([len(label), number])
    shape = np.random.default_rng(5).normal(0, 0.04, (21, 3)) + np.linspace(0, 0.15, 21)[:, None] * [0, -1, 0]
    points = np.tile(shape, (40, 1, 1)) + random.normal([0.6, 0.5, 0], 0.03)
    points[:, :, :2] += np.linspace(0, 1, 40)[:, None, None] * np.array(WAYS[label])
    points += random.normal(0, 0.002, (40, 1, 3))
    return np.round(points, 5).tolist()


@pytest.mark.slow
def test_the_page_learns_takes_and_recognises_with_them(chromium: Callable[..., Any], tmp_path: Path) -> None:
    takes = [{"label": label, "fps": 30, "frames": hand(label, number)} for label in WAYS for number in range(5)]
    file = tmp_path / "takes.json"
    file.write_text(json.dumps({"layout": "mediapipe_hand21", "units": "image01", "takes": takes}))
    with listening(real_site(BUNDLE)) as server, opened(chromium(), server.url) as page:
        page.get_by_label("Load saved takes").set_input_files(file)
        page.get_by_text("left 5, up 5, nothing 5").wait_for()
        page.get_by_role("button", name="Learn", exact=True).click()
        page.get_by_text("takes are recognised when they are left out").wait_for()
        right, _, of = page.inner_text("#teach-state").split()[:3]
        assert int(of) == 15 and int(right) >= 13
        page.get_by_role("button", name="Play clip").click()
        page.get_by_text("The whole clip:").wait_for()
        assert page.locator("#top li").first.locator("span").first.inner_text() in WAYS
        page.get_by_role("button", name="Use the bundle's classes").click()
        page.get_by_text("Recognising the bundle's own classes.").wait_for()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save takes").click()
        (tmp_path / "saved").mkdir()
        saved.value.save_as(tmp_path / "saved" / "takes.json")
    assert len(list(from_takes(tmp_path / "saved"))) == 15


def test_a_bundle_without_features_teaches_nothing_in_the_page(offline: None, make_bundle: Callable[..., Path]) -> None:
    from last_edge.bundle import Bundle

    page = json.loads(sites.make_site(Bundle.open(make_bundle())).files["site.json"])
    assert all("features" in graph for graph in page["graphs"])
