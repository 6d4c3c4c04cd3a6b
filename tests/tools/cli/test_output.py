"""Results go to stdout whatever --quiet says, progress to stderr; a refused command leaves no progress behind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from last_edge.errors import UsageError
from last_edge.tools import output
from last_edge.tools.cli import main

ROW = {"epoch": 1.0, "loss": 0.5, "train_top1": 50.0, "skipped": 0.0}


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What stderr shows."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=request.param, width=100)
    monkeypatch.setattr(output, "stderr", lambda: console)
    return stream


def test_progress_of_a_refused_command_is_erased(screen: io.StringIO) -> None:
    with pytest.raises(UsageError), output.epoch_progress("train", quiet=False):
        raise UsageError("this run is finished")
    left = screen.getvalue().rpartition("\x1b[2K")[2]
    assert "train" not in left and "\n" not in left


def test_progress_of_an_interrupted_run_stays(screen: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), output.epoch_progress("train", quiet=False) as report:
        report(ROW, 4)
        raise KeyboardInterrupt
    assert "loss 0.500" in screen.getvalue() and screen.getvalue().count("1/4") >= 1


def test_only_much_waiting_is_told() -> None:
    assert "waits" not in output.describe(ROW | {"waiting": 4.0})
    assert output.describe(ROW | {"waiting": 12.4}).endswith("waits 12% for data: training.workers")


def test_quiet_progress_says_nothing(screen: io.StringIO) -> None:
    with output.epoch_progress("train", quiet=True) as report:
        report(ROW, 4)
    assert screen.getvalue() == ""


def test_quiet_keeps_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    zoo = Path(__file__).parents[3] / "zoo" / "last_lite_nano_utd27"
    assert main(["verify", str(zoo), "--quiet"]) == 0
    assert "model.int8.onnx" in capsys.readouterr().out
