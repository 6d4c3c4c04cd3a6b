"""`run` as a service of systemd: its unit, started again when it ends, and what the run tells systemd; without root."""

import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Mapping, Sequence
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
    import subprocess

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


class Watchdog:
    """Speaks the protocol of sd_notify(3) over the socket that systemd names; silent where it names none.

    interval_s: how often systemd wants to hear of us, None where it does not watch.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = environment.get("NOTIFY_SOCKET", "")
        given = environment.get("WATCHDOG_USEC", "")
        self.interval_s = int(given) / 1e6 / 2 if given.isdecimal() and self._address else None
        self._told_s = -float("inf")

    def ready(self) -> None:
        """The source is open and the first frame is through."""
        self._tell("READY=1")

    def alive(self) -> None:
        """A frame came through; told at half the interval at most."""
        now = time.monotonic()
        if self.interval_s is not None and now - self._told_s >= self.interval_s:
            self._told_s = now
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The run ends by itself."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is of the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as channel:
            try:
                channel.sendto(state.encode(), address)
            except OSError:
                return
