"""Which headers every answer carries: what the page may load, whom it may talk to, and what a file is.

`connect-src 'self'` is what keeps frames on the device: the browser lets the page talk to nobody but the place it came
from, and the server there takes nothing. The same policy stands in the page itself, for hosts that set no headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

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
