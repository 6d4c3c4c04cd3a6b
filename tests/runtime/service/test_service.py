"""A run as a service: a unit that systemd accepts, and the words by which systemd knows that it lives."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from last_edge.errors import InputError, UsageError
from last_edge.runtime.pipeline.run import RunOptions, run
from last_edge.runtime.service import Unit, Watchdog, complaints, quoted, unit_of
from last_edge.tools.cli import main

MakeBundle = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


def test_a_dry_run_shows_the_unit_and_writes_nothing(
    make_bundle: MakeBundle, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "service",
        "install",
        str(make_bundle()),
        "--source",
        "cam:0,vga",
        "--dry-run",
        "--",
        "--landmarks-every",
        "2",
    ]
    assert main(words) == 0
    text = capsys.readouterr().out
    for line in ("Type=notify", "WatchdogSec=30", "Restart=always", "KillSignal=SIGINT", "NoNewPrivileges=yes"):
        assert f"\n{line}\n" in text
    assert "--source cam:0,vga --no-window --quiet --events - --landmarks-every 2\n" in text and "User=root" not in text
    assert not home.exists()


def test_a_unit_is_written_once_and_removed(
    make_bundle: MakeBundle, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["service", "install", str(make_bundle()), "--name", "door", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["unit"] == str(home / "systemd/user/door.service") and "systemctl --user daemon-reload" in told["next"]
    assert main(words) == 2  # not over what is there
    assert main(["service", "remove", "--name", "door"]) == 0 and not (home / "systemd/user/door.service").exists()
    assert main(["service", "remove", "--name", "door"]) == 3


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_the_unit(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    odd = unit_of(bundle, "rtsp://10.0.0.2/a b?x=100%", name="odd", more=["--send", 'http://h/"$HOME"'])
    assert complaints(odd, tmp_path) == []
    # The check itself can fail.
    assert complaints(Unit("broken", ("no-such-program",), "x"), tmp_path) != []


@pytest.mark.parametrize(
    ("word", "unit"),
    [("cam:0", "cam:0"), ("a b", '"a b"'), ("100%", "100%%"), ("$HOME", "$$HOME"), ('say "x"', r'"say \"x\""')],
)
def test_words_reach_the_program_as_they_are(word: str, unit: str) -> None:
    assert quoted(word) == unit


def test_what_cannot_be_a_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a name"):
        Unit("../evil", ("x",), "")
    with pytest.raises(UsageError, match="control characters"):
        quoted("a\nExecStart=/bin/sh")
    with pytest.raises(InputError, match="no bundle here"):
        unit_of(tmp_path / "absent", "cam:0", name="x")


def test_a_run_tells_systemd_that_it_is_ready_alive_and_stopping(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        run(make_bundle(), "synthetic", options=RunOptions(limit=30))
        assert [systemd.recv(64).decode() for _ in range(3)] == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_without_systemd_nothing_is_told() -> None:
    quiet = Watchdog({})
    assert quiet.interval_s is None
    quiet.ready()
    assert Watchdog({"NOTIFY_SOCKET": "/nowhere/socket", "WATCHDOG_USEC": "4000000"}).interval_s == 2.0
    Watchdog({"NOTIFY_SOCKET": "/nowhere/socket"}).ready()  # a socket that is gone ends no run
