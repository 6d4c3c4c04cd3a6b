"""A site without a network, and the browser that looks at one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from last_edge.bundle import Bundle
from last_edge.files import cache_folder
from last_edge.runtime.landmarks.models import MODELS
from last_edge.runtime.web import site as sites
from last_edge.runtime.web.packages import PACKAGES, NpmPackage, is_cached
from last_edge.runtime.web.server import SiteServer, serving
from last_edge.runtime.web.site import Site, make_site

PATIENCE_MS = 240_000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Packages and landmark models that need no cache: their files hold their own names."""
    model = tmp_path / "landmarks.task"
    model.write_bytes(b"task")

    def read(package: NpmPackage) -> dict[str, bytes]:
        return {name: name.encode() for name in package.files}

    monkeypatch.setenv("LAST_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sites, "fetch", lambda package: None)
    monkeypatch.setattr(sites, "read_package", read)
    monkeypatch.setattr(sites, "model_path", lambda name: model)


@contextmanager
def listening(site: Site) -> Iterator[SiteServer]:
    """A site served on a free port by another thread."""
    with serving(site, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable[..., Any]]:
    """`chromium(*flags)` starts one; skipped where Chromium, playwright or the packages are absent."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'last-edge[dev]'")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    if not all(map(is_cached, PACKAGES)):
        pytest.skip("needs the npm packages in the cache: last-edge web BUNDLE, once, with a network")
    with playwright.sync_playwright() as driver:
        started = []

        def start(*flags: str) -> Any:
            started.append(driver.chromium.launch(executable_path=program, args=list(flags), timeout=PATIENCE_MS))
            return started[-1]

        yield start
        for browser in started:
            browser.close()


def real_site(path: Path) -> Site:
    """The site of a bundle with the real packages; skipped without its landmark model."""
    bundle = Bundle.open(path)
    detector = sites.camera_detector(bundle.manifest.input, None)
    if detector is not None and not (cache_folder() / MODELS[detector].file).is_file():
        pytest.skip(f"needs `last-edge models fetch {detector}`")
    return make_site(bundle)


@contextmanager
def opened(browser: Any, url: str, **context: Any) -> Iterator[Any]:
    """A page of its own, ready; an uncaught error or a file that did not come fails the test at the end."""
    faults: list[str] = []
    own = browser.new_context(**context)
    own.set_default_timeout(PATIENCE_MS)
    page = own.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(request.url) if request.url.startswith(url) else None)
    page.goto(url)
    page.locator("#app:not([aria-busy])").wait_for()
    yield page
    own.close()
    assert faults == []
