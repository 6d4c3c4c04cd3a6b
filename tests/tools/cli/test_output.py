"""Results go to stdout whatever --quiet says, progress to stderr; a refused command leaves no progress behind."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from last_edge.errors import UsageError
from last_edge.tools import output
from last_edge.tools.cli import main
from last_edge.tools.cli.commands import COMMANDS
from last_edge.tools.register import Group

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


WIDE = {
    "artefact": ["zoo/last_lite_nano_shrec14", "zoo/last_e_nano_shrec14"],
    "backend": ["onnxruntime-cpu 1.26.0"] * 2,
    **{f"{name} ms": [f"{value}.25", f"{value}.75"] for name, value in (("p50", 10), ("p95", 11), ("load", 900))},
    "top-1": ["92.98", "94.17"],
}


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_no_figure_of_a_table_is_cut(columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    output.emit({}, as_json=False, table=lambda: output.make_table("bench", WIDE))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    assert all(value in shown for name, cells in WIDE.items() if name != "artefact" for value in cells)


GATES = {
    "gate": ["missing points", "unlabelled", "splits"],
    "held": ["passed", "FAILED", "-"],
    "rule": ["up to 50% of body 0's points and a good deal more of words", "every clip has a label", "train and test"],
    "found": ["0.00%", "2 of 2 clips\na/00000, a/00001", "no clip names a split"],
}


@pytest.mark.parametrize("columns", [60, 80])
def test_no_word_of_a_narrow_table_is_broken(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    output.emit({}, as_json=False, table=lambda: output.make_table("gates", GATES))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    words = {word for cells in GATES.values() for cell in cells for word in cell.split()}
    assert words <= set(shown.split())


def test_progress_without_a_terminal_is_not_cut(monkeypatch: Any) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(output.sys, "stderr", stream)
    monkeypatch.delenv("COLUMNS", raising=False)
    row = ROW | {"val_top1": 93.1, "waiting": 40.0, "skipped": 3.0}
    with output.epoch_progress("distill", quiet=False) as report:
        report(row, 1)
    assert output.describe(row) in stream.getvalue() and "1/1" in stream.getvalue()


def commands(known: Mapping[str, Any], *before: str) -> Iterator[list[str]]:
    """The words of every command and group."""
    for name, command in known.items():
        yield [*before, name]
        if isinstance(command, Group):
            yield from commands(command.commands, *before, name)


@pytest.mark.parametrize("words", list(commands(COMMANDS)), ids=" ".join)
def test_help_of_every_command_ends_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    assert " Example: last-edge" in " ".join(capsys.readouterr().out.split())[-300:]


def test_verbose_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "show", "nowhere.yaml"]) == 3
    assert "Traceback" not in capsys.readouterr().err
    assert main(["recipes", "show", "nowhere.yaml", "--verbose"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes")])
def test_lack_of_memory_is_no_bug(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(**_: object) -> None:
        raise error

    monkeypatch.setattr("last_edge.tools.cli.application", lambda words: app)
    assert main([]) == 5
    assert "not enough memory" in capsys.readouterr().err
