"""A camera in the network: RTSP, or MJPEG and others over HTTP, by address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from last_edge.errors import MissingError
from last_edge.runtime.sources.capture import open_capture
from last_edge.runtime.sources.live import LiveSource

SCHEMES = ("rtsp", "rtsps", "http", "https")


class NetworkSource(LiveSource):
    """Frames of an address; `MissingError` when nothing answers there. The name shows no password."""

    def __init__(self, address: str) -> None:
        self._address = address
        capture, name = self._open(), without_password(address)
        if capture is None:
            raise MissingError("no video stream answers here", where=name, expected="rtsp://… or an MJPEG http://…",
                               hint="open the address in a player on this machine")  # fmt: skip
        super().__init__(name, capture)

    def _open(self) -> Any | None:
        return open_capture(self._address)


def without_password(address: str) -> str:
    """An address that may be shown."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
