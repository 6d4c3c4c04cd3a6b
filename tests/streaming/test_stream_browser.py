"""A stream bundle in a real Chromium: states carried from call to call, and the answers and events of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge import records
from last_edge.runtime.recognise.decoding import DecodingOptions
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from tests.streaming.conftest import hand
from tests.web.conftest import chromium, listening, opened, real_site  # noqa: F401

PLAY = """async ({ points, shape, times, threshold, rules, predict, early, phases, side }) => {
  const load = (name) => import(`/js/${name}.js`);
  const [{ Adapter }, { Points }, { openModel, checkModel }, { makeRecogniser }, { loadClips }] = await Promise.all(
    ["adapter", "points", "model", "step_recogniser", "clips"].map(load));
  const site = { ...(await (await fetch("site.json")).json()), rules };
  const source = { layout: site.input.layout, units: site.units, recipes: null, turn: false, limb_metres: null };
  const clip = new Points(...shape, Float32Array.from(points.map((value) => value ?? NaN)));
  const model = await openModel(site.graphs[0], site);
  const check = await checkModel(model, (await loadClips(site)).golden);
  const adapter = new Adapter(source, site.input, site.units, "first", site.hands);
  const recogniser = makeRecogniser(site, model, adapter, { threshold, early, phases });
  const events = [];
  const tops = [];
  for (const [number, time] of times.entries()) {
    events.push(...(await recogniser.push(clip.frame(number), time, side)));
    tops.push(recogniser.current?.top[0] ?? null);
  }
  events.push(...(await recogniser.finish()));
  return { events, tops, difference: check.difference, milliseconds: check.milliseconds,
           whole: predict ? await recogniser.predict(clip, times) : null };
}"""


@pytest.fixture(scope="module")
def page(bundle_path: Path, chromium: Callable[..., Any]) -> Iterator[Any]:  # noqa: F811
    with listening(real_site(bundle_path)) as server, opened(chromium(), server.url) as page:
        yield page


def motion(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, V, C) at uneven times, a time without a hand that is longer than a state lasts, and times without frames."""
    times = np.cumsum(np.random.default_rng(seed).uniform(0.01, 0.07, 300))
    points = hand(300, seed=seed)
    points[120:160] = np.nan
    times[200:] += 2.0
    return points, times


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("ruled", "early", "phases"),
    [(False, False, False), (True, False, False), (True, True, False), (False, False, True), (True, False, True)],
    ids=["frame by frame", "by rules", "early", "phases", "phases by rules"],
)
def test_answers_and_events_are_those_of_python(
    page: Any, bundle_path: Path, ruled_path: Path, ruled: bool, early: bool, phases: bool, side: str
) -> None:
    points, times = motion(5)
    model = Recogniser.open(ruled_path if ruled else bundle_path)
    options = RecogniseOptions(early=early, phases=phases, decoding=DecodingOptions(threshold=0.3))
    stream, events, tops = model.stream(options=options), [], []
    for frame, time_s in zip(points, times.tolist(), strict=True):
        events += stream.push(frame, time_s, seen=side)
        tops.append(stream.current.best if stream.current else None)
    events += stream.finish()
    sent = [None if np.isnan(value) else float(value) for value in points.ravel()]
    got = page.evaluate(
        PLAY,
        {"points": sent, "shape": [1, *points.shape], "times": times.tolist(), "threshold": 0.3,
         "rules": None if model.rules is None else records.to_dict(model.rules), "predict": not ruled, "early": early,
         "phases": phases, "side": side},
    )  # fmt: skip
    assert got["difference"] < 1e-3 and got["milliseconds"] > 0
    assert None in tops and [top and top["label"] for top in got["tops"]] == [top and top.label for top in tops]
    assert len(events) > 1
    assert [(event["label"], event["phase"]) for event in got["events"]] == [
        (event.label, event.phase) for event in events
    ]
    for found, event in zip(got["events"], events, strict=True):
        values = (found["start"], found["end"], found["probability"])
        assert values == pytest.approx((event.start_s, event.end_s, event.probability), abs=1e-3)
    if not ruled:
        prediction = stream.predict(points, times)
        assert [guess["label"] for guess in got["whole"]] == [guess.label for guess in prediction.top]
        shares = [guess.probability for guess in prediction.top]
        assert [guess["probability"] for guess in got["whole"]] == pytest.approx(shares, abs=1e-3)
