"""The page in a real Chromium: the same logits and events as Python, nothing said to others, usable by everyone."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.decoding import DecodingOptions, Rejection
from last_edge.runtime.recognise.stream import Decode, RecogniseOptions, WindowStream
from last_edge.runtime.recognise.window import fit_times
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.web.packages import MEDIAPIPE, is_cached, read_package
from last_edge.skeleton import get_layout
from tests.web.conftest import listening, opened, real_site

BUNDLE = Path(__file__).parents[2] / "zoo" / "last_lite_nano_shrec14"
HAND = get_layout("mediapipe_hand21")

# What both scripts below begin with: the page's own modules, on points that a hand detector might have given.
PARTS = """
  const load = (name) => import(`/js/${name}.js`);
  const [{ Adapter }, { Model }, { Points }, { fitTimes }, { Recogniser }] = await Promise.all(
    ["adapter", "model", "points", "window", "recogniser"].map(load));
  const site = await (await fetch("site.json")).json();
  const adapter = new Adapter(site.camera.source, site.input, site.units);
  const clip = new Points(...shape, Float32Array.from(points));
  const graph = site.graphs.find((one) => one.precision === precision);
  const model = await Model.open(graph, site);
"""
LOGITS = f"""async ({{ precision, points, shape, times }}) => {{{PARTS}
  const fitted = fitTimes(adapter.convert(clip), times, site.input.frames);
  return {{ fitted: Array.from(fitted.data), logits: Array.from(await model.logits(fitted)) }};
}}"""
EVENTS = f"""async ({{ precision, points, shape, times, threshold, rejection, decode, phases }}) => {{{PARTS}
  const asked = {{ ...site, rejection, options: {{ ...site.options, decode }} }};
  const recogniser = new Recogniser(asked, model, adapter, {{ threshold, phases }});
  const events = [];
  const tops = [];
  for (const [number, time] of times.entries()) {{
    events.push(...(await recogniser.push(clip.frame(number), time)));
    tops.push(recogniser.current?.top[0].label ?? null);
  }}
  return {{ events, tops }};
}}"""
LISTEN = """() => {
  window.blocked = [];
  document.addEventListener("securitypolicyviolation", (event) => window.blocked.push(event.effectiveDirective));
}"""
TRANSCRIPT = """async (told) => {
  const { View } = await import("/js/view.js");
  const view = Object.create(View.prototype);
  for (const [phase, end] of told) view.event({ label: "grab", probability: 0.9, end, phase });
  const text = (id) => document.getElementById(id).textContent;
  const lines = Array.from(document.querySelectorAll("#transcript li"), (line) => line.textContent);
  return [...lines, text("score"), text("over")];
}"""
SENDING = {
    "fetch": "(url) => fetch(url, { method: 'POST', body: 'frame', mode: 'no-cors' }).catch(() => 'kept')",
    "beacon": "(url) => navigator.sendBeacon(url, 'frame')",
    "image": "(url) => new Promise((done) => Object.assign(new Image(), { onload: done, onerror: done, src: url }))",
}
CONTRAST = """(selector) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [red, green, blue] = numbers(colour).map((value) => linear(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  let element = document.querySelector(selector);
  const ink = luminance(getComputedStyle(element).color);
  while (numbers(getComputedStyle(element).backgroundColor)[3] === 0) element = element.parentElement;
  const ground = luminance(getComputedStyle(element).backgroundColor);
  return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
}"""


@pytest.fixture(scope="module")
def page(chromium: Callable[..., Any]) -> Iterator[Any]:
    """One page for all tests here: loading it is what takes time."""
    with listening(real_site(BUNDLE)) as server, opened(chromium(), server.url, reduced_motion="reduce") as page:
        yield page


def hand_motion(frames: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(1, T, 21, 3) of a hand that goes to and fro, some points and frames unseen, at uneven times."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.02, 0.06, frames))
    points = np.tile(random.uniform(0.4, 0.6, (21, 3)), (frames, 1, 1))[None]
    points[..., 0] += 0.3 * np.sin(times * 2)[None, :, None]
    points += random.normal(0, 0.004, points.shape)
    points[0, random.random((frames, 21)) < 0.05] = np.nan
    points[0, frames // 2 : frames // 2 + 20] = np.nan
    return points.astype(np.float32), times


def sent(points: np.ndarray, times: np.ndarray) -> dict[str, Any]:
    return {"points": points.ravel().tolist(), "shape": list(points.shape), "times": times.tolist()}


def python_side(precision: Any) -> tuple[Recogniser, Adapter]:
    model = Recogniser.open(BUNDLE, precision=precision)
    return model, Adapter(HAND, "image01", spec=model.spec, target_units=model.units)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_logits_are_those_of_python(page: Any, precision: str) -> None:
    model, adapter = python_side(precision)
    for seed in range(3):
        points, times = hand_motion(60, seed=seed)
        fitted = fit_times(adapter(points), times, model.spec.frames)
        got = page.evaluate(LOGITS, {"precision": precision, **sent(points, times)})
        np.testing.assert_array_equal(np.reshape(got["fitted"], fitted.shape).astype(np.float32), fitted)
        np.testing.assert_allclose(got["logits"], model.backend(fitted)[0], atol=1e-3)


@pytest.mark.parametrize("decode", ["sliding", "spans"])
@pytest.mark.parametrize("phases", [False, True])
@pytest.mark.parametrize("energy", [None, 5.1])
def test_events_of_a_stream_are_those_of_python(page: Any, energy: float | None, phases: bool, decode: Decode) -> None:
    points, times = hand_motion(500, seed=1)
    rejection = Rejection(1.5, -np.inf if energy is None else energy)
    expected, tops = python_events(points, times, threshold=0.3, rejection=rejection, decode=decode, phases=phases)
    settings = {
        "decode": decode,
        "phases": phases,
        "threshold": 0.3,
        "rejection": {"temperature": 1.5, "energy": energy},
    }
    got = page.evaluate(EVENTS, {"precision": "fp32", **sent(points, times), **settings})
    assert len(expected) > 1 and None in tops
    assert [(event["label"], event["phase"]) for event in got["events"]] == [
        (event.label, event.phase) for event in expected
    ]
    for found, event in zip(got["events"], expected, strict=True):
        values = [found[name] for name in ("start", "end", "probability", "x", "y")]
        assert values == pytest.approx((event.start_s, event.end_s, event.probability, event.x, event.y), abs=1e-4)
    assert got["tops"] == tops


def python_events(
    points: np.ndarray,
    times: np.ndarray,
    *,
    threshold: float,
    rejection: Rejection,
    decode: Decode = "sliding",
    phases: bool = False,
) -> tuple[list[Any], list[str | None]]:
    """Events, and the likeliest class after each frame, of the Python runtime."""
    model, adapter = python_side("fp32")
    options = replace(RecogniseOptions(decode, phases=phases), decoding=DecodingOptions(threshold=threshold))
    recogniser = WindowStream(model.backend, adapter=adapter, labels=model.labels, options=options, rejection=rejection)
    events, tops = [], []
    for number, time_s in enumerate(times):
        events += recogniser.push(points[:, number], float(time_s))
        tops.append(recogniser.current.best.label if recogniser.current else None)
    return events, tops


def test_an_energy_threshold_refuses_some_of_them() -> None:
    points, times = hand_motion(500, seed=1)
    all_of_them, some = (
        len(python_events(points, times, threshold=0.3, rejection=Rejection(1.5, least))[0]) for least in (-np.inf, 5.1)
    )
    assert 0 < some < all_of_them


def test_checks_itself_and_plays_a_clip(page: Any) -> None:
    assert page.inner_text("#state") == "Ready."
    assert float(page.inner_text("#check").split()[0]) < 1e-3
    page.get_by_role("button", name="Play clip").click()
    page.get_by_text("The whole clip:").wait_for()
    assert page.locator("#top li").count() == 3
    page.get_by_label("Model file").select_option("int8")
    page.get_by_text("int8 · WASM").wait_for()


def test_a_gesture_told_in_phases_is_one_line_that_says_how_long_it_lasted(page: Any) -> None:
    once = page.evaluate(TRANSCRIPT, [["", 1.0]])
    assert once[0] == "1.0 s  grab  90%" and once[-2:] == ["90%", "grab"]
    lasts = page.evaluate(TRANSCRIPT, [["begin", 2.0], ["hold", 2.5]])
    assert lasts[:2] == ["2.0 s  grab  90%", once[0]] and lasts[-2:] == ["90%, 0.5 s", "grab"]
    over = page.evaluate(TRANSCRIPT, [["begin", 2.0], ["hold", 2.5], ["end", 2.8]])
    assert over[:2] == ["2.0 s  grab  90%, lasted 0.8 s", lasts[0]] and over[-2:] == ["90%, 0.8 s", ""]


def test_talks_to_nobody_but_its_server(page: Any) -> None:
    heard: list[str] = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            heard.append(str(self.rfile.readline()))

    with http.server.HTTPServer(("127.0.0.1", 0), Ear) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page.evaluate(LISTEN)
        for attempt in SENDING.values():
            page.evaluate(attempt, f"http://127.0.0.1:{other.server_port}/frame")
        page.wait_for_timeout(200)
        other.shutdown()
    assert heard == []
    assert set(page.evaluate("window.blocked")) == {"connect-src", "img-src"}


def test_the_landmarker_knows_no_address() -> None:
    if not is_cached(MEDIAPIPE):
        pytest.skip("needs the npm packages in the cache: last-edge web BUNDLE, once, with a network")
    assert b"https://" not in read_package(MEDIAPIPE)["vision_bundle.mjs"]


def test_every_control_has_a_name_and_states_are_spoken(page: Any) -> None:
    for role, name in (
        ("button", "Start camera"),
        ("button", "Play clip"),
        ("combobox", "Clip"),
        ("combobox", "Model file"),
        ("slider", "Least score of an event"),
        ("checkbox", "Refuse unknown motions"),
        ("checkbox", "Tell when a gesture begins, how long it lasts and when it ends"),
        ("checkbox", "Show the camera mirrored"),
        ("log", "Transcript"),
        ("heading", "Recognised"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, name
    assert page.locator("#state").get_attribute("aria-live") == "polite"
    assert page.inner_text(".privacy").startswith("Nothing leaves this device.")


def test_keyboard_reaches_the_controls_in_order_and_shows_where_it_is(page: Any) -> None:
    page.evaluate("document.activeElement.blur()")
    page.locator(".skip").focus()
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == ["camera", "clip", "play"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (360, 740)])
def test_fits_every_width_in_both_colours(page: Any, scheme: str, size: tuple[int, int]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for selector in ("body", ".privacy", "#camera", "#play", "#badge", "dt"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
    assert page.locator("#camera").bounding_box()["height"] >= 44
