"""Milliseconds of processor time an inference takes in Chromium and natively, form by form, in turns.

`python -m tests.web.measure_speed BUNDLE [FILE.md]`. All take the golden skeletons on one thread. Forms are the
bundle's files and what could ship beside them: half precision, half precision of the weights alone, which is float
when it runs, and the 8 bits of `quantize --target web`. Turns alternate, so that all meet the same disturbances; the
clock is processor time, which holds on a machine that does other things too: by the wall's a long call is interrupted
more often than a short one. Of a bundle that answers at every frame the forms are its files, and the time is a frame's.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from playwright.sync_api import sync_playwright

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import FRAME_NAME, INPUT_NAME, OUTPUT_NAME
from last_edge.export.int8.quantize import QuantizeOptions, quantize_graph
from last_edge.export.onnx.session import open_session
from last_edge.machine import processor
from last_edge.runtime.backends.stepper import Stepper
from tests.web.conftest import CHROMIUM, listening, opened, real_site

TURNS, WARM, WEB_CALLS, NATIVE_CALLS = 8, 2, 100, 100
PROC = Path("/proc")
OPEN = """async (forms) => {
  const [{ openModel }, { loadClips }] = await Promise.all(["model", "clips"].map((name) => import(`/js/${name}.js`)));
  const site = await (await fetch("site.json")).json();
  window.golden = (await loadClips(site)).golden.points;
  window.models = {};
  for (const form of forms) window.models[form] = await openModel({ file: `forms/${form}.onnx` }, site);
}"""
TURN = """async ({ form, calls }) => {
  for (let number = 0; number < calls; number++)
    await window.models[form].logits(window.golden[number % window.golden.length]);
}"""
Turn = Callable[[], None]


def forms_of(bundle: Bundle) -> dict[str, bytes]:
    """What could run in a page, by name. The ranges of the 8 bits for the web are those of the golden skeletons."""
    if bundle.manifest.stream is not None:
        return {name: bundle.graph(name) for name in bundle.precisions}
    whole = bundle.graph("fp32")
    half = convert_float_to_float16(onnx.load_from_string(whole), keep_io_types=True, disable_shape_infer=True)
    rounded = quantize_graph(whole, {INPUT_NAME: bundle.golden.points}, QuantizeOptions("minmax", target="web"))
    return {
        "fp32": whole, "fp16": half.SerializeToString(), "fp16_weights": with_half_weights(whole),
        "int8": bundle.graph("int8"), "int8_web": rounded,
    }  # fmt: skip


def with_half_weights(graph: bytes) -> bytes:
    """Float constants stored in 16 bits behind a cast, which a runtime folds when it loads the file."""
    model = onnx.load_from_string(graph)
    casts = []
    for constant in model.graph.initializer:
        if constant.data_type == onnx.TensorProto.FLOAT and np.prod(constant.dims) > 1:
            stored = numpy_helper.from_array(
                numpy_helper.to_array(constant).astype(np.float16), f"{constant.name}/half"
            )
            casts.append(onnx.helper.make_node("Cast", [stored.name], [constant.name], to=onnx.TensorProto.FLOAT))
            constant.CopyFrom(stored)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def main(path: Path) -> dict[str, Any]:
    """Median milliseconds of processor time and bytes by form, and the browser's version."""
    bundle = Bundle.open(path)
    forms, site = forms_of(bundle), real_site(path)
    site = dataclasses.replace(
        site, files={**site.files, **{f"forms/{name}.onnx": graph for name, graph in forms.items()}}
    )
    frames = 1 if bundle.manifest.stream is None else bundle.golden.points.shape[1]
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    spent: dict[str, dict[str, list[float]]] = {name: {"web": [], "native": []} for name in forms}
    with sync_playwright() as driver, listening(site) as server:
        browser = driver.chromium.launch(executable_path=program)
        version = browser.version
        with opened(browser, server.url) as page:
            page.evaluate(OPEN, list(forms))
            natives = {name: native(graph, bundle.golden.points) for name, graph in forms.items()}
            for turn in range(TURNS + WARM):
                for name, row in spent.items():
                    ways = {
                        "web": (web(page, name), WEB_CALLS, in_chromium),
                        "native": (natives[name], NATIVE_CALLS, time.process_time),
                    }
                    for place, (work, calls, clock) in ways.items():
                        began = clock()
                        work()
                        if turn >= WARM:
                            row[place].append((clock() - began) * 1000 / calls / frames)
        browser.close()
    ms = {name: {place: statistics.median(each) for place, each in row.items()} for name, row in spent.items()}
    return {"bundle": path.name, "chromium": version, "processor": processor(), "ms": ms,
            "bytes": {name: len(graph) for name, graph in forms.items()}}  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """For the pages."""
    ms, least = found["ms"], found["ms"]["fp32"]
    rows = [
        f"| {name} | {found['bytes'][name]:,} | {ms[name]['web']:.2f} | {least['web'] / ms[name]['web']:.2f} | "
        f"{ms[name]['native']:.2f} | {least['native'] / ms[name]['native']:.2f} |"
        for name in ms
    ]
    where = f"{found['bundle']}, Chromium {found['chromium']}, {found['processor']}"
    titles = (
        "| form | bytes | browser ms | times FP32's speed | native ms | times FP32's speed |\n|---|---|---|---|---|---|"
    )
    return "\n".join([where, "", titles, *rows, ""])


def web(page: Any, form: str) -> Turn:
    """A turn in the page."""
    return lambda: page.evaluate(TURN, {"form": form, "calls": WEB_CALLS})


def native(graph: bytes, points: Any) -> Turn:
    """A turn of ONNX Runtime for this processor."""
    session = open_session(graph)
    step = Stepper(graph) if FRAME_NAME in [given.name for given in session.get_inputs()] else None

    def turn() -> None:
        for number in range(NATIVE_CALLS):
            clip = points[number % len(points)][None]
            if step is None:
                session.run([OUTPUT_NAME], {INPUT_NAME: clip})
            else:
                step.sequences(clip)

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
    result = main(Path(sys.argv[1]))
    for file in sys.argv[2:]:
        Path(file).write_text(table(result))
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
