"""Messages of the landmark worker to the page, as odd as they come: told, passed over or used, and the page goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from last_edge.runtime.web import server
from tests.fuzz.mutate import COUNTS, ODD, budget

STATIC = Path(server.__file__).parent / "static" / "js"
PAGE = """
import { Landmarker } from "./landmarker.js";
globalThis.Worker = class { constructor() { globalThis.worker = this; } addEventListener() {} postMessage() {} };
globalThis.createImageBitmap = async () => ({});
const rows = JSON.parse(await new Promise((done) => {
  let text = "";
  process.stdin.on("data", (part) => (text += part)).on("end", () => done(text));
}));
const wrong = [];
process.on("unhandledRejection", (error) => wrong.push(String(error)));
for (const messages of rows) {
  const told = [];
  const page = new Landmarker({}, { onPoints: async () => told.push("points"), onFailure: (text) => told.push(text) });
  page.ready.catch(() => {});
  await page.take({ ready: true });
  for (const message of messages) {
    if (message.numbers) message.points = Float32Array.from(message.numbers);
    await page.offer({}, 1);
    await page.take(message).catch((error) => wrong.push(`${JSON.stringify(message)}: ${error}`));
    if (page.waiting !== null) wrong.push(`${JSON.stringify(message)}: the page waits`);
  }
  if (told.some((text) => typeof text !== "string")) wrong.push(`${JSON.stringify(messages)}: no text`);
  // What never comes back is told, once.
  performance.now = () => 0;
  await page.offer({}, 2);
  performance.now = () => 60_000;
  for (let more = 0; more < 3; more++) await page.offer({}, 3);
  if (told.filter((text) => text.includes("hangs")).length !== 1) wrong.push("a worker that hangs is not told once");
}
console.log(JSON.stringify(wrong));
"""
AS_JSON = [value for value in ODD if value not in (10**400, "\ud800") and value == value and value != float("inf")]
VALUES = st.one_of(st.sampled_from(AS_JSON), st.text())
MESSAGES = st.lists(
    st.dictionaries(st.sampled_from(("ready", "points", "numbers", "milliseconds", "side", "failed", "x")), VALUES)
    | st.fixed_dictionaries({"numbers": st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False))}),
    min_size=1, max_size=4,
)  # fmt: skip


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, which runs the page's modules")
@COUNTS
def test_no_message_of_the_landmark_worker_stops_the_page(count: int, tmp_path: Path) -> None:
    for name in ("landmarker.js", "points.js"):
        shutil.copy(STATIC / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "page.js").write_text(PAGE)
    rows: list[list[dict[str, object]]] = []

    @budget(count)
    @given(MESSAGES)
    def collect(messages: list[dict[str, object]]) -> None:
        rows.append(messages)

    collect()
    text = json.dumps(rows, allow_nan=False)
    done = subprocess.run(["node", "page.js"], cwd=tmp_path, input=text, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
