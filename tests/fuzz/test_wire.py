"""What comes by wire or is typed: garbage for the page's server, from a receiver of events, as an address or value."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from last_edge.errors import EXIT_BUG, LastEdgeError
from last_edge.runtime.actions import deliver
from last_edge.runtime.actions.deliver import Delivery, command_of, destination_of
from last_edge.runtime.recognise.decoding import Event
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.sources import open_source
from last_edge.runtime.web.server import SiteServer
from last_edge.runtime.web.site import Site, static_files
from last_edge.skeleton import get_layout
from last_edge.tools import cli
from last_edge.tools.teach.takes import from_takes
from last_edge.train.recipe import load_recipe
from tests.fuzz.mutate import COUNTS, budget, changed_bytes, changed_json
from tests.web.conftest import listening

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
EVENT = Event("wave", 0.9, 0.0, 1.0)
TEXTS = st.one_of(
    st.text(max_size=80),
    st.sampled_from(("mqtt://", "ws://", "http://", "osc://", "rtsp://", "cam:", "replay:", "store:", "csi:")).flatmap(
        lambda scheme: st.text(max_size=40).map(lambda rest: scheme + rest)
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[SiteServer]:
    with listening(Site("tiny", {**dict(static_files()), "site.json": b"{}"}, "hand", 1, ("fp32",))) as running:
        yield running


@COUNTS
def test_no_request_silences_the_server(server: SiteServer, count: int) -> None:
    port = server.server_port

    @budget(count)
    @given(changed_bytes(GET % port))
    def ask(request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
            try:
                line.sendall(request)
                line.shutdown(socket.SHUT_WR)
                while line.recv(65536):
                    pass
            except TimeoutError:
                raise
            except OSError:
                pass  # the server may answer and hang up before all is said

    ask()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200


@COUNTS
def test_no_address_of_a_receiver_is_a_bug(count: int) -> None:
    @budget(count)
    @given(TEXTS)
    def name(text: str) -> None:
        with suppress(LastEdgeError):
            destination_of(text).close()
        with suppress(LastEdgeError):
            command_of(text, ("wave",))

    name()


@COUNTS
def test_no_name_of_a_source_is_a_bug(count: int) -> None:
    layout = get_layout("shrec22")

    @budget(count)
    @given(TEXTS.filter(lambda text: not text.startswith(("cam:", "csi:", "rtsp:", "http:")) and not text.isdecimal()))
    def name(text: str) -> None:
        with suppress(LastEdgeError), open_source(text, layout=layout):
            pass

    name()


@COUNTS
def test_no_value_of_a_recipe_is_a_bug(count: int) -> None:
    keys = st.sampled_from(("training.lr", "training.epochs", "input.frames", "model.options.width", "seed", "augment",
                            "validation.subjects", "training.amp", "x", ""))  # fmt: skip
    values = st.one_of(st.text(max_size=30), st.sampled_from((".inf", ".nan", "1e999", "[", "{a: [", "9" * 5000, "~")))

    @budget(count)
    @given(keys, values)
    def change(key: str, value: str) -> None:
        with suppress(LastEdgeError):
            load_recipe("demo", overrides=[f"{key}={value}"])

    change()


@COUNTS
def test_no_words_at_the_command_line_are_a_bug(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = typer.main.get_command(cli.application())  # put together once, not for each input
    monkeypatch.setattr(cli, "application", lambda words: whole)
    known = ("run", "eval", "data", "info", "report", "verify", "--json", "--store", "--out", "--source", "synthetic",
             "zoo", "recipes", "show", "models")  # fmt: skip
    words = st.one_of(st.sampled_from(known), st.text(max_size=12))

    @budget(count)
    @given(st.lists(words.filter(lambda word: not word.isdecimal()), max_size=5))
    def say(line: list[str]) -> None:
        assert cli.main([*line, "--dry-run-of-nothing"]) != EXIT_BUG

    say()


@COUNTS
def test_no_takes_of_the_page_are_a_bug(count: int, tmp_path: Path) -> None:
    frames = [[[0.1, 0.2, 0.3]] * 20 + [None]] * 5
    takes = [{"label": "wave", "fps": 30, "frames": frames, "subject": "me"}] * 2
    saved = json.dumps({"layout": "mediapipe_hand21", "units": "image01", "takes": takes}).encode()

    @budget(count)
    @given(st.one_of(changed_json(saved), changed_bytes(saved)))
    def read(content: bytes) -> None:
        (tmp_path / "takes.json").write_bytes(content)
        with suppress(LastEdgeError):
            list(from_takes(tmp_path))

    read()


@contextmanager
def receiver(answer: bytes | None) -> Iterator[int]:
    """A port where somebody takes every connection and answers with these bytes, or never reads nor answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lines: list[socket.socket] = []
        listener.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    line, _ = listener.accept()
                except OSError:
                    continue
                lines.append(line)
                if answer is not None:
                    line.sendall(answer)
                    line.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()
            for line in lines:
                line.close()


ANSWERS = {
    "garbage": b"\0\xff" * 50,
    "gigabytes": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    "none": None,
}


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kind", ["http", "ws", "mqtt"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_receiver_that_answers_garbage_or_nothing_holds_nobody_up(
    kind: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "PAUSES_S", (0.01,))
    monkeypatch.setattr(deliver, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(deliver, "FLUSH_S", 0.5)
    told: list[str] = []
    with (
        receiver(ANSWERS[answer]) as port,
        Delivery([destination_of(f"{kind}://127.0.0.1:{port}/t")], notice=told.append) as send,
    ):
        for _ in range(2000):
            send(EVENT)
    assert any("dropped" in text or "lost" in text or "not delivered" in text for text in told), told


@COUNTS
def test_no_points_make_a_stream_fail(make_bundle, count: int) -> None:  # type: ignore[no-untyped-def]
    model = Recogniser.open(make_bundle())
    numbers = st.sampled_from((0.0, 1.0, -1e30, 1e38, float("nan"), float("inf"), -float("inf"), 1e-40))

    @budget(count)
    @given(st.lists(numbers, min_size=4, max_size=40), st.floats(allow_nan=True, width=32), st.integers(0, 3))
    def push(values: list[float], moment: float, axes: int) -> None:
        stream = model.stream()
        shape = ((21, 3), (1, 21, 3), (20, 3), (21,))[axes]
        for step in range(8):
            points = np.resize(np.asarray(values, np.float32), shape)
            try:
                for event in stream.push(points, moment + step / 30):
                    assert 0.0 <= event.probability <= 1.0
            except LastEdgeError:
                pass

    push()
