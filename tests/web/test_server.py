"""The server: this machine alone, the site's files alone, under a strict policy."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from last_edge.errors import UsageError
from last_edge.runtime.web.server import SiteServer, serving
from last_edge.runtime.web.site import INDEX, Site, static_files
from tests.web.conftest import listening


def site() -> Site:
    files = {**dict(static_files()), "site.json": b"{}", "lib/a.wasm": b"\0asm"}
    return Site("tiny", files, "hand", 1, ("fp32",))


@pytest.fixture(scope="module")
def server() -> Iterator[SiteServer]:
    with listening(site()) as running:
        yield running


def ask(
    server: SiteServer, path: str, *, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_only_loopback_hears_it(server: SiteServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.parametrize("path", ["/", "/index.html", "/index.html?a=1"])
def test_gives_the_page(server: SiteServer, path: str) -> None:
    answer, content = ask(server, path)
    assert (answer.status, content) == (200, site().files[INDEX])
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "kind"), [("/lib/a.wasm", "application/wasm"), ("/js/main.js", "text/javascript; charset=utf-8")]
)
def test_types_that_browsers_insist_on(server: SiteServer, path: str, kind: str) -> None:
    assert ask(server, path)[0].headers["Content-Type"] == kind


def test_headers_hold_the_policy_of_the_page_and_more(server: SiteServer) -> None:
    headers = ask(server, "/js/landmark_worker.js")[0].headers
    for rule in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'"):
        assert rule in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Permissions-Policy"] == "camera=(self), microphone=(), geolocation=()"


@pytest.mark.parametrize(
    "path",
    ["/absent", "/../pyproject.toml", "/js/../../server.py", "/%2e%2e/server.py", "//etc/passwd", "/js/", "/%00"],
)
def test_nothing_but_the_files_of_the_site(server: SiteServer, path: str) -> None:
    assert ask(server, path)[0].status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", ""])
def test_another_name_that_leads_here_is_refused(server: SiteServer, host: str) -> None:
    answer, content = ask(server, "/site.json", Host=host)
    assert answer.status == 421 and content != b"{}"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_takes_nothing(server: SiteServer, method: str) -> None:
    assert ask(server, "/site.json", method=method)[0].status == 501


def test_head_and_known_files_have_no_body(server: SiteServer) -> None:
    whole, content = ask(server, "/site.json")
    assert content == b"{}"
    head, nothing = ask(server, "/site.json", method="HEAD")
    assert (head.status, head.headers["Content-Length"], nothing) == (200, "2", b"")
    known, nothing = ask(server, "/site.json", If_None_Match=whole.headers["ETag"])
    assert (known.status, nothing) == (304, b"")


def test_a_taken_port_is_told(server: SiteServer) -> None:
    with pytest.raises(UsageError, match="--port 0"), serving(site(), port=server.server_port):
        pass
