"""Milliseconds an inference takes in Chromium and natively, in turns: `python -m tests.web.measure_speed BUNDLE`.

Both take the golden skeletons on one thread; of a bundle that answers at every frame it is milliseconds a frame. Turns
alternate, so that both meet the same disturbances. Beside the
medians of the wall clock stand those of processor time by turn, which hold on a machine that does other things too:
there a long call is interrupted more often than a short one.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from last_edge.bundle import Bundle
from last_edge.runtime.recogniser import Recogniser
from tests.web.conftest import CHROMIUM, listening, opened, real_site

TURNS, WARM, WEB_CALLS, NATIVE_CALLS = 8, 2, 20, 300
PROC = Path("/proc")
OPEN = """async () => {
  const [{ openModel }, { loadClips }] = await Promise.all(["model", "clips"].map((name) => import(`/js/${name}.js`)));
  const site = await (await fetch("site.json")).json();
  window.golden = (await loadClips(site)).golden.points;
  window.models = {};
  for (const graph of site.graphs) window.models[graph.precision] = await openModel(graph, site);
}"""
TURN = """async ({ precision, calls }) => {
  const taken = [];
  for (let number = 0; number < calls; number++) {
    await window.models[precision].logits(window.golden[number % window.golden.length]);
    taken.push(window.models[precision].milliseconds);
  }
  return taken;
}"""
Turn = Callable[[], list[float]]


def main(path: Path) -> dict[str, Any]:
    """Median milliseconds of wall clock and processor by place and precision, and ratios of the latter."""
    site, bundle = real_site(path), Bundle.open(path)
    golden = bundle.golden.points
    each = 1 if bundle.manifest.stream is None else golden.shape[1]
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    wall: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    with sync_playwright() as driver, listening(site) as server:
        browser = driver.chromium.launch(executable_path=program)
        with opened(browser, server.url) as page:
            page.evaluate(OPEN)
            for turn in range(TURNS + WARM):
                for name in site.precisions:
                    native = Recogniser.open(path, precision=name, threads=1).backend  # type: ignore[arg-type]
                    rows = {f"web {name}": (web(page, name), in_chromium),
                            f"native {name}": (calls(native, golden, each), time.process_time)}  # fmt: skip
                    for place, (work, clock) in rows.items():
                        began = clock()
                        taken = work()
                        if turn >= WARM:
                            wall.setdefault(place, []).extend(taken)
                            cpu.setdefault(place, []).append((clock() - began) * 1000 / len(taken) / each)
        browser.close()
    spent = {place: statistics.median(row) for place, row in cpu.items()}
    ratios = {f"web / native, {name}": spent[f"web {name}"] / spent[f"native {name}"] for name in site.precisions}
    if "int8" in site.precisions:
        ratios |= {f"fp32 / int8, {at}": spent[f"{at} fp32"] / spent[f"{at} int8"] for at in ("web", "native")}
    return {"wall ms": {place: statistics.median(row) for place, row in wall.items()}, "cpu ms": spent, "ratio": ratios}


def web(page: Any, precision: str) -> Turn:
    """A turn in the page."""
    return lambda: page.evaluate(TURN, {"precision": precision, "calls": WEB_CALLS})


def calls(backend: Any, points: Any, each: int) -> Turn:
    """A turn of the Python runtime, `each` frames a call; its first calls, which start the session, are not counted."""
    for window in points:
        backend(window[None])

    def turn() -> list[float]:
        taken = []
        for number in range(max(NATIVE_CALLS // each, len(points))):
            window = points[number % len(points)][None]
            began = time.perf_counter()
            backend(window)
            taken.append((time.perf_counter() - began) * 1000 / each)
        return taken

    return turn


def in_chromium() -> float:
    """Processor seconds that this process's browser has used so far, all its processes together."""
    ticks = {}
    parents = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            number, rest = stat.read_text().split(" ", 1)
        except OSError:
            continue
        name, fields = rest[1:].rsplit(")", 1)
        values = fields.split()
        parents[int(number)] = int(values[1])
        if name.startswith("chrom"):
            ticks[int(number)] = int(values[11]) + int(values[12])
    return sum(used for number, used in ticks.items() if descends(number, parents)) / os.sysconf("SC_CLK_TCK")


def descends(number: int, parents: dict[int, int]) -> bool:
    """Whether a process comes from this one."""
    while number in parents and number != os.getpid():
        number = parents[number]
    return number == os.getpid()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1])), indent=1) + "\n")
