"""Milliseconds an inference takes in Chromium and natively, in turns: `python -m tests.web.measure_speed BUNDLE`.

Both take the golden skeletons on one thread. Turns of 20 calls alternate, so that both meet the same disturbances; the
ratio of the medians is what counts on a machine that does other things too.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from last_edge.runtime.model import load_model
from tests.web.conftest import CHROMIUM, listening, opened, real_site

TURNS, CALLS = 12, 20
OPEN = """async () => {
  const [{ Model }, { loadClips }] = await Promise.all(["model", "clips"].map((name) => import(`/js/${name}.js`)));
  const site = await (await fetch("site.json")).json();
  window.golden = (await loadClips(site)).golden.points;
  window.models = Object.fromEntries(
    await Promise.all(site.graphs.map(async (graph) => [graph.precision, await Model.open(graph, site.input)])));
}"""
TURN = """async ({ precision, calls }) => {
  const taken = [];
  for (let number = 0; number < calls; number++) {
    await window.models[precision].logits(window.golden[number % window.golden.length]);
    taken.push(window.models[precision].milliseconds);
  }
  return taken;
}"""


def main(path: Path) -> dict[str, Any]:
    """Median milliseconds by place and precision, and their ratios."""
    site = real_site(path)
    native = {name: load_model(path, precision=name, threads=1) for name in site.precisions}  # type: ignore[arg-type]
    points = load_golden(path)
    taken: dict[str, list[float]] = {f"{place} {name}": [] for place in ("web", "native") for name in native}
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    with sync_playwright() as driver, listening(site) as server:
        browser = driver.chromium.launch(executable_path=program)
        with opened(browser, server.url) as page:
            page.evaluate(OPEN)
            for turn in range(TURNS + 1):
                for name, model in native.items():
                    rows = page.evaluate(TURN, {"precision": name, "calls": CALLS}), turns(model.backend, points)
                    for place, row in zip(("web", "native"), rows, strict=True):
                        taken[f"{place} {name}"] += row if turn else []
        browser.close()
    medians = {name: statistics.median(row) for name, row in taken.items()}
    ratios = {f"web / native {name}": medians[f"web {name}"] / medians[f"native {name}"] for name in native}
    if "int8" in native:
        ratios |= {f"fp32 / int8, {at}": medians[f"{at} fp32"] / medians[f"{at} int8"] for at in ("web", "native")}
    return {"ms": medians, "ratio": ratios}


def load_golden(path: Path) -> Any:
    from last_edge.bundle import Bundle

    return Bundle.open(path).golden.points


def turns(backend: Any, points: Any) -> list[float]:
    """Milliseconds of some calls."""
    taken = []
    for number in range(CALLS):
        window = points[number % len(points)][None]
        began = time.perf_counter()
        backend(window)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1])), indent=1) + "\n")
