"""`bench formats`: three forms of a network by activation and joints, and pages of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from last_edge.errors import EXIT_USAGE
from last_edge.timing import pinned
from last_edge.tools import cli
from last_edge.tools.bench.formats import FormatRecord
from last_edge.tools.bench.record import load_records


@pytest.mark.slow
def test_each_network_is_timed_in_its_three_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = [tmp_path / name for name in ("forms.json", "forms.md")]
    few = ["--layouts", "shrec22", "--frames", "16", "--repeats", "3", "--calls", "2"]
    pages = [word for path in out for word in ("--out", str(path))]
    words = ["bench", "formats", "--models", "last_lite_nano", *few, *pages, "--json", "--quiet"]
    assert cli.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    rows = load_records(out[0], FormatRecord)
    assert [row["activation"] for row in told] == [row.activation for row in rows] == ["relu", "hardswish"]
    for row in rows:
        assert set(row.p50_ms) == set(row.size_bytes) == {"plain", "fp32", "int8"} and row.input_shape == (16, 22, 3)
        assert row.size_bytes["int8"] < row.limit_bytes < row.size_bytes["fp32"]
        assert all(row.p50_ms[form] <= row.p99_ms[form] for form in row.p50_ms) and min(row.faster.values()) > 0
    page = out[1].read_text()
    assert page.count("| last_lite_nano |") == 2 and "processor time" in page


def test_an_unknown_activation_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "formats", "--activations", "rleu", "--models", "last_lite_nano"]) == EXIT_USAGE
    assert "relu" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep a process on a core")
def test_a_process_is_kept_on_as_many_cores_as_it_has_threads() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1):
        assert len(os.sched_getaffinity(0)) == 1 and os.sched_getaffinity(0) <= before
    assert os.sched_getaffinity(0) == before
