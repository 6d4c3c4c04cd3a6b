"""The page mirrors the hand that a bundle was not taught, and tells phases, as Python does.

Its modules run in Node, without a browser.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import rewrite_bundle
from last_edge.runtime.recognise.stream import Decode, RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.web.describe import describe, describe_source
from last_edge.runtime.web.site import static_files
from last_edge.skeleton import get_layout
from tests.conftest import MakeBundle

HAND, HOLISTIC = get_layout("mediapipe_hand21"), get_layout("mediapipe_holistic75")
# The tiny graph of the tests, written anew: how far the points' mean moves from the first half to the second.
SCRIPT = """
import { readFileSync } from "node:fs";
import { Adapter } from "./adapter.js";
import { Points } from "./points.js";
import { Recogniser } from "./recogniser.js";
const { site, source, hand, points, shape, times, seen, phases } = JSON.parse(readFileSync(0, "utf8"));
const model = {
  logits: async (clip) => {
    let move = 0;
    const half = Math.floor(clip.frames / 2);
    for (let frame = 0; frame < clip.frames; frame++)
      for (let joint = 0; joint < clip.joints; joint++) {
        const x = clip.data[clip.at(0, frame, joint)];
        const share = frame < half ? -1 / half : 1 / (clip.frames - half);
        if (!Number.isNaN(x)) move += (x / clip.joints) * share;
      }
    return Float32Array.from([-40 * move, 0, 40 * move]);
  },
};
const adapter = new Adapter(source, site.input, site.units, hand, site.hands);
const clip = new Points(...shape, Float32Array.from(points.map((x) => x ?? NaN)));
const fitted = adapter.fit(clip, seen[0] ?? "");
const recogniser = new Recogniser(site, model, adapter, { threshold: 0.6, phases });
const told = [];
for (const [number, time] of times.entries()) {
  told.push(...(await recogniser.push(clip.frame(number), time, seen[number] ?? "")));
}
told.push(...(await recogniser.finish()));
const list = Array.from(fitted.points.data, (x) => (Number.isNaN(x) ? null : x));
const events = told.map((event) => event.label);
console.log(JSON.stringify({ mirrored: fitted.mirrored, points: list, events, told }));
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """The page's modules as Node takes them, and the script."""
    if shutil.which("node") is None:
        pytest.skip("needs Node: apt-get install nodejs")
    folder = tmp_path / "js"
    folder.mkdir()
    for name, content in static_files():
        if name.startswith("js/"):
            path = folder / name.removeprefix("js/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "script.js").write_text(SCRIPT)
    return folder


def knowing(path: Path, hands: str, labels: tuple[str, ...] | None = None) -> Bundle:
    bundle = Bundle.open(path)
    changed = dataclasses.replace(bundle.manifest, hands=hands, labels=labels or bundle.manifest.labels)
    rewrite_bundle(bundle, changed)
    return Bundle.open(path)


def motion(joints: int, *, frames: int = 40) -> np.ndarray:
    """(1, T, V, 3) of something that moves to the right, with a few points unseen."""
    random = np.random.default_rng(0)
    points = np.tile(random.uniform(0.2, 0.4, (joints, 3)), (frames, 1, 1)).astype(np.float32)
    points[..., 0] += np.linspace(0, 0.9, frames, dtype=np.float32)[:, None]
    points[5, 3] = np.nan
    return points[None]


def of_the_page(
    modules: Path, bundle: Bundle, points: np.ndarray, *, layout: Any, hand: str, seen: list[str],
    phases: bool = False, decode: Decode = "sliding",
) -> dict[str, Any]:  # fmt: skip
    page = describe(bundle, clips=[], detector=None, decode=decode).site
    source = describe_source(layout, "image01", spec=bundle.manifest.input, target_units="image01")
    flat = [None if np.isnan(value) else float(value) for value in points.ravel()]
    times = (np.arange(points.shape[1]) / 30).tolist()
    given = {"site": page, "source": source, "hand": hand, "points": flat, "shape": points.shape, "times": times,
             "seen": seen, "phases": phases}  # fmt: skip
    done = subprocess.run(
        ["node", "script.js"], cwd=modules, input=json.dumps(given, default=list), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("hands", ["left", "right", "both"])
@pytest.mark.parametrize("hand", ["first", "left", "right"])
@pytest.mark.parametrize("seen", ["", "left", "right"])
def test_one_hand_is_mirrored_as_python_mirrors_it(
    make_bundle: MakeBundle, modules: Path, hands: str, hand: str, seen: str
) -> None:
    bundle, points = knowing(make_bundle(), hands), motion(21)
    model = Recogniser(bundle)
    stream = model.stream(hand=hand)
    expected, mirrored = stream.adapter.fit(points, seen=seen)
    events = [event.label for row in range(40) for event in stream.push(points[:, row], row / 30, seen=seen)]
    found = of_the_page(modules, bundle, points, layout=HAND, hand=hand, seen=[seen] * 40)
    got = np.array([np.nan if value is None else value for value in found["points"]], np.float32)
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)
    assert found["mirrored"] == mirrored and found["events"] == events == ["right"]


def test_a_label_without_another_direction_shows_that_the_motion_was_mirrored(
    make_bundle: MakeBundle, modules: Path
) -> None:
    bundle, points = knowing(make_bundle(), "right", ("away", "middle", "here")), motion(21)
    stream = Recogniser(bundle).stream()
    expected = [event.label for row in range(40) for event in stream.push(points[:, row], row / 30, seen="left")]
    found = of_the_page(modules, bundle, points, layout=HAND, hand="first", seen=["left"] * 40)
    assert found["events"] == expected == ["away"]


@pytest.mark.parametrize("hidden", [slice(33, 54), slice(54, 75)])
def test_of_two_hands_the_one_that_is_seen_decides(make_bundle: MakeBundle, modules: Path, hidden: slice) -> None:
    bundle, points = knowing(make_bundle(), "right"), motion(75)
    points[:, :, hidden] = np.nan
    adapter = Recogniser(bundle).stream(layout=HOLISTIC).adapter
    expected, mirrored = adapter.fit(points)
    found = of_the_page(modules, bundle, points, layout=HOLISTIC, hand="first", seen=[])
    got = np.array([np.nan if value is None else value for value in found["points"]], np.float32)
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)
    assert found["mirrored"] == mirrored == (hidden.start == 54)


def test_one_frame_of_another_opinion_decides_nothing(make_bundle: MakeBundle, modules: Path) -> None:
    bundle, points = knowing(make_bundle(), "right", ("away", "middle", "here")), motion(21)
    seen = ["left"] * 40
    seen[20] = "right"
    stream = Recogniser(bundle).stream()
    expected = [event.label for row in range(40) for event in stream.push(points[:, row], row / 30, seen=seen[row])]
    found = of_the_page(modules, bundle, points, layout=HAND, hand="first", seen=seen)
    assert found["events"] == expected == ["away"]


@pytest.mark.parametrize("decode", ["sliding", "spans"])
def test_phases_are_those_of_python_with_hand_and_place(make_bundle: MakeBundle, modules: Path, decode: Decode) -> None:
    bundle, random = knowing(make_bundle(), "both"), np.random.default_rng(4)
    way = np.concatenate([np.linspace(0, 2, 80), np.linspace(2, 0, 80), np.zeros(60), np.linspace(0, 1.5, 60)])
    points = np.tile(random.uniform(0.2, 0.4, (21, 3)), (len(way), 1, 1)).astype(np.float32)
    points[..., 0] += way[:, None]
    points[random.random((len(way), 21)) < 0.1] = np.nan
    points[185:210] = np.nan
    stream = Recogniser(bundle).stream(options=RecogniseOptions(decode, phases=True))
    seen = ["right"] * len(way)
    events = [told for row in range(len(way)) for told in stream.push(points[row], row / 30, seen=seen[row])]
    events += stream.finish()
    found = of_the_page(
        modules, bundle, points[None], layout=HAND, hand="first", seen=seen, phases=True, decode=decode
    )["told"]
    assert [(told["label"], told["phase"]) for told in found] == [(event.label, event.phase) for event in events]
    assert {event.phase for event in events} == {"begin", "hold", "end"} and events[-1].phase == "end"
    for told, event in zip(found, events, strict=True):
        values = [told[name] for name in ("start", "end", "probability", "x", "y")]
        assert values == pytest.approx((event.start_s, event.end_s, event.probability, event.x, event.y), abs=1e-4)
        assert told["hand"] == event.hand == "right"
