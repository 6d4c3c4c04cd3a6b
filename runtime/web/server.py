"""Serving a site on loopback: the files of a dictionary and nothing else, read only, to this machine alone.

`connect-src 'self'` is what keeps frames on the device: the browser lets the page talk to nobody but the place it came
from, and the server there takes nothing. The same policy stands in the page itself, for hosts that set no headers.
"""

import hashlib
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any

from last_edge.errors import UsageError
from last_edge.runtime.web.site import INDEX, Site

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FRAMES = "frame-ancestors 'none'"
"""The one rule that a policy inside a page cannot hold."""
LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")


def policy_of(page: bytes) -> str:
    """The Content-Security-Policy that stands in a page."""
    found = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', page.decode())
    assert found is not None, "the page has a policy"
    return " ".join(found[1].split())


def headers_for(address: str, *, policy: str) -> Mapping[str, str]:
    """Headers of a file. The two Cross-Origin policies give the page fine clocks, which its timings need."""
    return {
        "Content-Type": TYPES.get(PurePosixPath(address).suffix, "application/octet-stream"),
        "Content-Security-Policy": f"{policy}; {FRAMES}",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }


class SiteServer(ThreadingHTTPServer):
    """A server bound to 127.0.0.1. `url` is where it listens."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, site: Site, *, port: int) -> None:
        self.site, self.policy = site, policy_of(site.files[INDEX])
        self.tags = {name: f'"{hashlib.sha256(content).hexdigest()}"' for name, content in site.files.items()}
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server; a foreign name that leads here is another site's trick."""
        return host in {f"{name}:{self.server_port}" for name in NAMES}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up in the middle of a file is no error."""


@contextmanager
def serving(site: Site, *, port: int) -> Iterator[SiteServer]:
    """A server that listens, and is closed at the end; `UsageError` when the port cannot be had."""
    try:
        server = SiteServer(site, port=port)
    except OSError as error:
        hint = "--port 0, which takes any that is free"
        raise UsageError("cannot listen", where=f"{LOOPBACK}:{port}", got=error.strerror, hint=hint) from error
    with server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the site's files; other methods are refused by `http.server` with 501."""

    server: SiteServer
    server_version, sys_version = "last-edge", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """A file's headers and bytes."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """A file's headers."""
        self._answer(with_body=False)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: what a person does in the page is not written down."""

    def _answer(self, *, with_body: bool) -> None:
        if not self.server.is_ours(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        address = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).removeprefix("/") or INDEX
        content = self.server.site.files.get(address)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        tag = self.server.tags[address]
        known = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK)
        for name, value in headers_for(address, policy=self.server.policy).items():
            self.send_header(name, value)
        self.send_header("ETag", tag)
        if not known:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body and not known:
            self.wfile.write(content)
