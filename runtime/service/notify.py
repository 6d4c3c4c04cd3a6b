"""Telling systemd that the program runs: ready, still alive, stopping; nothing outside of systemd."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


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
