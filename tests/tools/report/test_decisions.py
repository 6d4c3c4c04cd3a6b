"""The decision rules of a report: each says its figure and what follows, and none reads a test figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from last_edge.errors import InputError
from last_edge.tools.cli import main
from last_edge.tools.report.decisions import NOT_MEASURED, decisions

NTU = {"name": "ntu", "classes": 60, "split_type": "xsub"}


def line(share: float, *, first: int = 0) -> str:
    """200 answers, that share of them right, beginning with clip `first`."""
    right = round(200 * share)
    return "".join("1" if (clip - first) % 200 < right else "0" for clip in range(200))


def table(path: Path, *, model: str = "last_lite_small", dataset: dict[str, Any] = NTU, **shares: float) -> Path:
    rows = [
        {"name": name, "model": model, "top1": {"mean": 100 * share}, "hits": [line(share)]}
        for name, share in shares.items()
    ]
    content = {
        "kind": "ablation", "split": "val", "dataset": dataset, "clips": 200, "seeds": [0], "rows": rows,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def verdicts(path: Path) -> list[tuple[str, str]]:
    return [(rule["figure"], rule["verdict"]) for rule in decisions(path)["rules"]]


def test_a_good_student_is_distilled_and_needs_no_pretraining(tmp_path: Path) -> None:
    found = verdicts(table(tmp_path / "a.json", alone=0.86, kd=0.885))
    assert found[0] == ("86.00 %", "distil")
    assert found[1] == ("88.50 %", "leave it out")
    assert found[2] == ("88.50 %", "does not follow")
    assert found[3] == ("1.70 points", "does not follow")
    assert found[4][0].startswith("+2.50 points, 95 % interval") and found[4][1].startswith("it helps")
    assert found[5] == (NOT_MEASURED, NOT_MEASURED)


def test_a_weak_student_gets_pretraining(tmp_path: Path) -> None:
    found = verdicts(table(tmp_path / "a.json", alone=0.70, kd=0.84, maskclr_kd=0.84))
    assert found[0] == ("70.00 %", "fix the training without a teacher first")
    assert found[1][1] == "does not follow" and found[2][1] == "add it"
    assert found[3] == ("6.20 points", "add it")
    assert found[5] == ("+0.00 points, 95 % interval +0.00 to +0.00", "no difference shown")


def test_between_the_thresholds_neither_follows(tmp_path: Path) -> None:
    found = verdicts(table(tmp_path / "a.json", alone=0.80, kd=0.875, maskclr_kd=0.70))
    assert [verdict for _, verdict in found[1:4]] == ["does not follow"] * 3
    assert found[5][1] == "it harms"


def test_what_a_rule_was_not_made_for_is_said(tmp_path: Path) -> None:
    hands = {"name": "shrec17", "classes": 14}
    found = verdicts(table(tmp_path / "a.json", model="last_lite_nano", dataset=hands, alone=0.9, kd=0.93))
    assert found[0] == ("90.00 %", "distil")
    for figure, verdict in found[1:4]:
        assert verdict.startswith("made for last_lite_small on NTU RGB+D 60") and "shrec17" in verdict
        assert figure in ("93.00 %", NOT_MEASURED)


def test_nothing_measured_nothing_decided(tmp_path: Path) -> None:
    found = verdicts(table(tmp_path / "a.json"))
    assert all(NOT_MEASURED in figure for figure, _ in found)
    assert not any(verdict in ("distil", "add it", "leave it out") for _, verdict in found)


@pytest.mark.parametrize("change", [{"split": "test"}, {"kind": "report"}])
def test_test_figures_and_other_files_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    path = table(tmp_path / "a.json", alone=0.8)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError):
        decisions(path)


def test_the_report_has_the_section_in_all_three_forms(
    make_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, page = make_run("teacher"), tmp_path / "report.html"
    ablation = table(tmp_path / "ablation.json", alone=0.86, kd=0.885)
    command = ["report", str(run), "--out", str(page), "--ablation", str(ablation), "--no-bench", "--quiet"]
    assert main(command) == 0
    capsys.readouterr()
    assert "| Distil once the student alone is above 75 % on validation. | 86.00 % | distil |" in (
        page.with_suffix(".md").read_text()
    )
    html = page.read_text()
    assert "<h2>Decision rules</h2>" in html and "86.00 %" in html
    assert json.loads(page.with_suffix(".json").read_text())["decisions"][0]["rules"][0]["verdict"] == "distil"
