"""Cameras and addresses: what is asked for, what is told when they are lost, and a real MJPEG stream over HTTP."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from last_edge.errors import InputError, MissingError, UsageError
from last_edge.runtime.sources import ImageOptions, Source, is_camera, live, open_source
from last_edge.runtime.sources.live import camera_text, csi_pipeline, without_password
from last_edge.runtime.sources.video import USUAL_FPS, measured_fps
from last_edge.skeleton import get_layout
from last_edge.tools.cli.doctor import camera_name

HAND = get_layout("mediapipe_hand21")
IMAGE = np.zeros((48, 64, 3), np.uint8)


class Capture:
    """A camera that gives `frames` images and then none."""

    def __init__(self, frames: int) -> None:
        self.left, self.released, self.asked = frames, False, {}
        self.asked: dict[int, float]

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, IMAGE) if self.left >= 0 else (False, None)

    def get(self, name: int) -> float:
        return self.asked.get(name, 25.0)

    def set(self, name: int, value: float) -> None:
        self.asked[name] = value

    def release(self) -> None:
        self.released = True


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Capture | None]]:
    """What each opening of the camera finds, in order; nothing once the list is empty. No back-off waits."""
    found: list[Capture | None] = []
    monkeypatch.setattr(live, "open_capture", lambda number: found.pop(0) if found else None)
    monkeypatch.setattr(live, "BACK_OFF_S", (0.0, 0.001, 0.002))
    yield found


def open_(text: object) -> tuple[Source, list[str]]:
    source, told = open_source(str(text), layout=HAND), []
    source.notice = told.append
    return source, told


def test_a_lost_camera_comes_back_and_time_goes_on(plug: list[Capture | None]) -> None:
    first = Capture(3)
    plug += [first, None, Capture(2)]
    source, told = open_("cam:0")
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(5)) and first.released
    assert all(one.timestamp_s <= other.timestamp_s for one, other in zip(frames, frames[1:], strict=False))
    assert told[:3] == ["cam:0 is lost; next try in 0 s", "cam:0 is lost; next try in 0.001 s", "cam:0 is back"]
    assert source.lost == told[-1] == "cam:0 is gone: 3 tries in 0.003 s"


def test_waiting_for_a_camera_ends_when_the_run_does(
    plug: list[Capture | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BACK_OFF_S", (1e6,))
    plug += [Capture(0)]
    source, told = open_("cam:0")
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    source.interrupt()
    reader.join(5)
    assert not reader.is_alive() and source.lost == ""


def test_a_camera_is_asked_for_size_and_rate_and_tells_what_it_gives(plug: list[Capture | None]) -> None:
    import cv2

    plug += [Capture(1)]
    source, _ = open_("cam:0,1280x720,60")
    assert source.describe() == "cam:0 gives 1280x720 at 60 frames a second, MJPG"
    assert source.fps == 60 and source.live
    plug += [capture := Capture(1)]
    open_("cam:1")
    assert capture.asked == {} and cv2.CAP_PROP_FOURCC not in capture.asked
    for wrong in ("front", "0,big", "0,1280", "", "0,1x2,3,4"):
        with pytest.raises(UsageError, match="camera is named by its number"):
            open_(f"cam:{wrong}")


def test_a_camera_is_named_by_number_device_or_link(
    plug: list[Capture | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, name in (("0", "cam:0"), ("/dev/video2", "cam:2"), ("1,1280x720,30", "cam:1")):
        plug += [Capture(1)]
        source, _ = open_(text)
        assert source.name == name and source.live and is_camera(text)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "3").mkdir()
    assert camera_text("3") is None and camera_text("clip.mp4") is None and camera_text("/dev/null") is None
    for absent in ("0", "/dev/video0"):
        with pytest.raises(MissingError, match="camera 0 is absent or in use") as caught:
            open_(absent)
        assert caught.value.where == "cam:0"


def test_misnamed_cameras_are_told_how_cameras_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="camera is named by its number") as caught:
        open_("cam:0,rotate=180")
    assert "cam:0" in str(caught.value.expected) and "--rotate" in str(caught.value.hint)
    with pytest.raises(InputError, match="no such video file") as absent:
        open_(tmp_path / "front")
    assert "cam:0" in str(absent.value.hint)


def test_pipelines_need_an_opencv_with_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:                   NO\n")
    for text in ("nvarguscamerasrc ! appsink", "csi:0", "csi:1,1280x720,30"):
        assert is_camera(text)
        with pytest.raises(MissingError, match="built without GStreamer|reads a board.s camera") as caught:
            open_(text)
        assert "cam:0" in str(caught.value.hint)
    with pytest.raises(UsageError, match="camera is named by its number"):
        open_("csi:front")


def test_a_board_camera_is_a_pipeline_of_its_size_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    opened: list[str] = []
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:                   YES (1.20)\n")
    monkeypatch.setattr(live, "JETSON", Path("/"))
    monkeypatch.setattr(live, "open_capture", lambda pipeline, *, by: opened.append(pipeline) or Capture(1))
    source = open_source("csi:1,640x480", layout=HAND, images=ImageOptions(fps=15))
    assert source.name == "csi:1" and source.live
    assert re.fullmatch(r"nvarguscamerasrc sensor-id=1 ! .*width=640,height=480,framerate=15/1.* appsink .*", opened[0])
    assert csi_pipeline(0, "width=1", jetson=False).startswith("libcamerasrc ! video/x-raw,width=1 !")


@contextmanager
def mjpeg_server(frames: int) -> Iterator[str]:
    """An address that sends `frames` JPEGs and hangs up."""
    import cv2

    jpeg = cv2.imencode(".jpg", IMAGE)[1].tobytes()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for _ in range(frames):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/video.mjpg"
    finally:
        server.shutdown()
        server.server_close()


def test_mjpeg_over_http_is_live_and_its_end_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BACK_OFF_S", ())
    with mjpeg_server(40) as address:
        source, told = open_(address)
        with source:
            frames = list(source)
    assert len(frames) >= 30 and frames[0].image is not None and frames[0].image.shape == IMAGE.shape
    assert source.live and "is gone" in source.lost


def test_addresses_that_do_not_answer_or_are_of_no_known_kind() -> None:
    with pytest.raises(MissingError, match="no video stream answers") as caught:
        open_("http://user:secret@127.0.0.1:9/video")
    assert "secret" not in str(caught.value) and caught.value.exit_code == 5
    with pytest.raises(UsageError, match="unknown kind of address"):
        open_("ftp://host/video")
    assert without_password("rtsp://me:word@cam.local:554/a?token=1") == "rtsp://cam.local:554/a"


def test_a_folder_of_images_is_played_and_a_corrupt_one_is_left_out_by_name(tmp_path: Path) -> None:
    import cv2

    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), IMAGE + number)
    (tmp_path / "2.png").write_bytes(b"no image")
    source, told = open_(tmp_path)
    assert [frame.index for frame in source] == [0, 1, 3] and source.announced_frames == 4
    assert told == ["2.png is not an image that can be read; left out"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no images in this folder"):
        open_(empty)


class Stamped:
    """A capture whose frames have these timestamps in milliseconds."""

    def __init__(self, moments: list[float]) -> None:
        self._moments, self._at = moments, -1

    def grab(self) -> bool:
        self._at += 1
        return self._at < len(self._moments)

    def get(self, name: int) -> float:
        return self._moments[self._at]

    def release(self) -> None:
        """Nothing to give back."""


def test_a_file_without_a_valid_rate_has_that_of_its_timestamps() -> None:
    assert measured_fps(Stamped([0, 66, 133, 200, 266, 333])) == pytest.approx(15, abs=0.2)
    assert measured_fps(Stamped([0, 1, 2, 3])) == USUAL_FPS
    assert measured_fps(Stamped([0, 0, 0])) == measured_fps(None) == USUAL_FPS


def test_doctor_names_a_camera_and_the_source_that_opens_it(tmp_path: Path) -> None:
    (tmp_path / "video2").mkdir()
    (tmp_path / "video2" / "name").write_text("HD Webcam\n")
    assert camera_name(Path("/dev/video2"), known=tmp_path) == "HD Webcam: --source cam:2"
    assert camera_name(Path("/dev/video0"), known=tmp_path) == "unnamed: --source cam:0"
