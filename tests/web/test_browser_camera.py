"""The page's camera, played by a real clip: watched, refused, with every detector, on a host that sets no headers."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.runtime.landmarks import create_landmarks
from last_edge.runtime.web.site import Site, export_site
from last_edge.tools.cli.doctor import VARIABLE, find_data
from tests.conftest import MakeBundle
from tests.web.conftest import listening, opened, real_site

pytestmark = pytest.mark.slow
Chromium = Callable[..., Any]
BUNDLE = Path(__file__).parents[2] / "zoo" / "last_lite_nano_shrec14"
ALLOWED = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
FRAMES, SIZE = 60, (640, 360)
LANDMARKS = """async (picture) => {
  const { Landmarker } = await import("/js/landmarker.js");
  const { camera } = await (await fetch("site.json")).json();
  const image = new Blob([Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0))], { type: "image/png" });
  return new Promise((resolve, reject) => {
    const settings = { ...camera, file: new URL(camera.file, document.baseURI).href, hand: "first", delegate: "CPU" };
    const onPoints = ({ points }) => resolve(Array.from(points.data));
    const landmarker = new Landmarker(settings, { onPoints, onFailure: reject });
    landmarker.ready.then(() => landmarker.offer(image, 0));
  });
}"""


@pytest.fixture(scope="module")
def shrec() -> Site:
    return patient(real_site(BUNDLE))


def patient(site: Site) -> Site:
    """The site with windows so long that a machine of one frame a second fills them too."""
    page = json.loads(site.files["site.json"])
    page["options"] |= {"window_s": 60.0, "gap_s": 60.0}
    return replace(site, files={**site.files, "site.json": json.dumps(page).encode()})


def real_clips() -> Path:
    clips = find_data("clips")
    if clips is None:
        pytest.skip(f"needs real clips: put them under data/clips or set {VARIABLE}")
    return clips


@pytest.fixture(scope="module")
def camera(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera shows a clip over and over."""
    import cv2

    capture = cv2.VideoCapture(str(real_clips() / "msl_ambulancia_001.mp4"))
    film = tmp_path_factory.mktemp("camera") / "clip.mjpeg"
    with film.open("wb") as stream:
        for _ in range(FRAMES):
            whole, image = capture.read()
            assert whole, "the clip is longer"
            stream.write(cv2.imencode(".jpg", cv2.resize(image, SIZE))[1].tobytes())
    yield chromium(*ALLOWED, f"--use-file-for-fake-video-capture={film}")


def test_is_watched_and_let_go(camera: Any, shrec: Site) -> None:
    asked: list[str] = []
    with listening(shrec) as server, opened(camera, server.url) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.get_by_role("button", name="Start camera").click()
        page.get_by_text("Watching.").wait_for()
        page.locator("#top .share", has_text="%").first.wait_for()
        assert float(page.inner_text("#landmarks-ms")) > 0
        page.get_by_role("button", name="Stop camera").click()
        assert page.inner_text("#state") == "Stopped."
        assert page.evaluate("document.getElementById('video').srcObject") is None
        own = (server.url, f"blob:{server.url}")
    assert asked and all(url.startswith(own) for url in asked)


def test_works_on_a_host_without_headers(camera: Any, shrec: Site, tmp_path: Path) -> None:
    export_site(shrec, tmp_path / "site")

    class Host(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            """Silence."""

    handler = partial(Host, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        with opened(camera, f"http://127.0.0.1:{host.server_port}/") as page:
            page.get_by_role("button", name="Start camera").click()
            page.locator("#top .share", has_text="%").first.wait_for()
        host.shutdown()


def test_refusal_is_explained(chromium: Chromium, shrec: Site) -> None:
    browser = chromium("--use-fake-device-for-media-stream", "--deny-permission-prompts")
    with listening(shrec) as server, opened(browser, server.url) as page:
        page.get_by_role("button", name="Start camera").click()
        page.get_by_text("The camera was not allowed.").wait_for()
        assert page.get_by_role("button", name="Start camera").is_enabled()


def test_a_take_is_recorded_once_the_camera_is_there(camera: Any, shrec: Site) -> None:
    with listening(shrec) as server, opened(camera, server.url) as page:
        page.get_by_role("button", name="Record a take").click()
        page.get_by_text("Name the gesture first.").wait_for()
        page.get_by_label("Gesture", exact=True).fill("ambulance")
        page.get_by_role("button", name="Record a take").click()
        page.get_by_text("ambulance in 3…").wait_for()
        assert page.inner_text("#state").startswith("Watching.")  # no second of a take goes by while models load
        said = re.compile(r"^(Kept: ambulance, take 1|Not kept: (no frames came|nothing was in view))\.$")
        page.locator(
            "#teach-state", has_text=said
        ).wait_for()  # a machine of two frames a second keeps none, and says so
        kept = page.inner_text("#teach-state").startswith("Kept")
        assert page.inner_text("#counts") == ("ambulance 1" if kept else "none yet")


def test_a_take_without_a_camera_is_refused(chromium: Chromium, shrec: Site) -> None:
    browser = chromium("--use-fake-device-for-media-stream", "--deny-permission-prompts")
    with listening(shrec) as server, opened(browser, server.url) as page:
        page.get_by_label("Gesture", exact=True).fill("wave")
        page.get_by_role("button", name="Record a take").click()
        page.get_by_text("There is no camera to record from.").wait_for()
        assert page.get_by_role("button", name="Record a take").is_enabled()


@pytest.mark.parametrize("layout", ["mediapipe_pose33", "mediapipe_holistic75"])
def test_other_detectors_feed_the_page(camera: Any, make_bundle: MakeBundle, layout: str) -> None:
    with listening(patient(real_site(make_bundle(layout=layout)))) as server, opened(camera, server.url) as page:
        page.get_by_role("button", name="Start camera").click()
        page.locator("#top .share", has_text="%").first.wait_for()
        assert page.get_by_role("combobox", name="Hand to follow").count() == 0


def test_landmarks_are_those_of_python(camera: Any, shrec: Site) -> None:
    import base64

    import cv2

    image = clip_frame()
    hand = create_landmarks("hand")
    expected = hand(image, 0.0)
    hand.close()
    picture = base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()
    with listening(shrec) as server, opened(camera, server.url) as page:
        got = np.reshape(page.evaluate(LANDMARKS, picture), (21, 3))
    assert not np.isnan(expected).any()
    np.testing.assert_allclose(got[:, :2], expected[:, :2], atol=0.005)


def clip_frame() -> np.ndarray:
    """A frame in which a hand is seen."""
    import cv2

    capture = cv2.VideoCapture(str(real_clips() / "msl_ambulancia_001.mp4"))
    for _ in range(FRAMES // 2):
        whole, image = capture.read()
        assert whole, "the clip is longer"
    return cv2.resize(image, SIZE)
