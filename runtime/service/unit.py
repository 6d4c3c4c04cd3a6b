"""A systemd unit that runs a bundle: started again when it ends, watched, its words in the journal, without root."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from last_edge.errors import InputError, UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
WATCHDOG_S = 30
ENV = ("LAST_EDGE_CACHE", "LAST_EDGE_ZOO")


@dataclass(frozen=True)
class Unit:
    """A user's unit. name: without `.service`. command: what it starts. description: for people."""

    name: str
    command: tuple[str, ...]
    description: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError("not a name for a service", expected="letters, digits, - _ .", got=self.name)

    @property
    def path(self) -> Path:
        """Where the user's systemd looks for it."""
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(home) / "systemd" / "user" / f"{self.name}.service"

    def text(self) -> str:
        """The unit as systemd reads it."""
        kept = [f"Environment={quoted(f'{name}={value}')}" for name in ENV if (value := os.environ.get(name))]
        lines = [
            "[Unit]",
            f"Description={self.description.replace('%', '%%')}",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=notify",
            f"ExecStart={' '.join(map(quoted, self.command))}",
            f"WatchdogSec={WATCHDOG_S}",
            "Restart=always",
            # As Ctrl-C: the run ends with whole files.
            "KillSignal=SIGINT",
            "RestartSec=5",
            "TimeoutStartSec=120",
            "StandardOutput=journal",
            "StandardError=journal",
            "Environment=PYTHONUNBUFFERED=1",
            *kept,
            "NoNewPrivileges=yes",
            "",
            "[Install]",
            "WantedBy=default.target",
        ]
        return "\n".join(lines) + "\n"


def quoted(word: str) -> str:
    """One word of a command line or assignment, so that systemd takes it literally."""
    if any(ord(letter) < 32 for letter in word):
        raise UsageError("a service's command cannot hold control characters", got=repr(word))
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{safe}"' if re.search(r"[\s'\"\\;]", safe) or not safe else safe


def unit_of(bundle: Path, source: str, *, name: str, more: Sequence[str] = ()) -> Unit:
    """The unit that runs a bundle on a source. more: further words for `last-edge run`.

    `InputError` where no bundle is at the path.
    """
    if not bundle.exists():
        raise InputError("no bundle here", where=bundle, hint="last-edge zoo ls")
    command = (sys.executable, "-m", "last_edge.tools.cli", "run", str(bundle.resolve()), "--source", source)
    unit = (*command, "--no-window", "--quiet", "--events", "-", *more)
    return Unit(name, unit, f"LAST-Edge: {bundle.name} on {source}")


def complaints(unit: Unit, folder: Path) -> list[str]:
    """What `systemd-analyze verify` says of the unit, written into a folder; empty where it is content or absent."""
    file = folder / f"{unit.name}.service"
    file.write_text(unit.text(), encoding="utf-8")
    command = ["systemd-analyze", "--user", "verify", str(file)]
    environment = {"XDG_RUNTIME_DIR": str(folder), **os.environ}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    except (OSError, subprocess.SubprocessError):
        return []
    return (done.stdout + done.stderr).splitlines() if done.returncode else []


def next_commands(unit: Unit) -> list[str]:
    """What starts the unit now and at every start of the machine."""
    return [
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {shlex.quote(unit.name)}",
        "sudo loginctl enable-linger $USER",
        f"journalctl --user --unit {shlex.quote(unit.name)} --follow",
    ]
