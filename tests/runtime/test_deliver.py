"""Events reach other programs: real brokers and servers on loopback, and what happens when they are not there."""

from __future__ import annotations

import dataclasses
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from last_edge.errors import UsageError
from last_edge.runtime.actions import deliver
from last_edge.runtime.actions.deliver import Command, Delivery, Destination, command_of, destination_of, facts_of
from last_edge.runtime.recognise.decoding import Event

WAVE, FIST = Event("wave", 0.875, 1.0, 1.5), Event("fist", 0.75, 2.0, 2.25)
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def wait_for(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """The port of a real MQTT broker."""
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto: apt-get install mosquitto")
    port = free_port()
    (tmp_path / "broker.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([MOSQUITTO, "-c", str(tmp_path / "broker.conf")], stderr=subprocess.DEVNULL)
    wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
    yield port
    process.terminate()
    process.wait()


def test_a_broker_confirms_each_event(broker: int) -> None:
    client = pytest.importorskip("paho.mqtt.client")
    got, ready = [], threading.Event()
    reader = client.Client(client.CallbackAPIVersion.VERSION2)
    reader.on_message = lambda _, __, message: got.append((message.topic, json.loads(message.payload)))
    reader.on_subscribe = lambda *_: ready.set()
    reader.connect("127.0.0.1", broker)
    reader.subscribe("room/#", qos=1)
    reader.loop_start()
    assert ready.wait(20)
    with Delivery([destination_of(f"mqtt://127.0.0.1:{broker}/room/lamp")]) as send:
        send(WAVE)
        send(FIST)
    wait_for(lambda: len(got) == 2)
    reader.disconnect()
    reader.loop_stop()
    assert got == [("room/lamp", facts_of(WAVE)), ("room/lamp", facts_of(FIST))]
    assert facts_of(WAVE) == {"label": "wave", "start_s": 1.0, "end_s": 1.5, "score": 0.875}
    placed = dataclasses.replace(WAVE, hand="left", person=1, x=0.5, y=0.25)
    assert facts_of(placed) == facts_of(WAVE) | {"x": 0.5, "y": 0.25, "hand": "left", "person": 1}


def test_what_an_absent_broker_did_not_get_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paho.mqtt.client")
    monkeypatch.setattr(deliver, "FLUSH_S", 0.5)
    notices: list[str] = []
    with Delivery([destination_of(f"mqtt://127.0.0.1:{free_port()}/x")], notice=notices.append) as send:
        send(WAVE)
        wait_for(lambda: notices)
    assert "tried again" in notices[0] and notices[-1].endswith("1 event was not delivered")


def test_a_message_of_osc_holds_label_score_and_time() -> None:
    dispatcher = pytest.importorskip("pythonosc.dispatcher").Dispatcher()
    server_of, got = pytest.importorskip("pythonosc.osc_server"), []
    dispatcher.map("/hand", lambda address, *values: got.append(values))
    server = server_of.ThreadingOSCUDPServer(("127.0.0.1", 0), dispatcher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Delivery([destination_of(f"osc://127.0.0.1:{server.server_address[1]}/hand")]) as send:
        send(WAVE)
    wait_for(lambda: got)
    server.shutdown()
    assert got == [("wave", 0.875, 1.0, 1.5)]


def test_a_receiver_of_osc_whose_name_is_not_known_yet_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of a machine, before its network."""
    pytest.importorskip("pythonosc.udp_client")
    monkeypatch.setattr(deliver, "PAUSES_S", (0.0,))
    unknown, sent, told = [socket.gaierror(-2, "Name or service not known")] * 2, [], list[str]()

    def connect(host: str, port: int) -> object:
        if unknown:
            raise unknown.pop()
        return SimpleNamespace(send_message=lambda address, values: sent.append((address, values[0])))

    destination = destination_of("osc://lamp.local/hand")
    monkeypatch.setattr(destination, "_connect", connect)
    with Delivery([destination], notice=told.append) as send:
        send(WAVE)
        wait_for(lambda: sent)
    assert sent == [("/hand", "wave")] and len(told) == 1 and "tried again" in told[0]


def test_a_lost_websocket_is_opened_again() -> None:
    serve, got, lines = pytest.importorskip("websockets.sync.server").serve, [], []

    def take(line: object) -> None:
        lines.append(line)
        for text in line:  # type: ignore[attr-defined]
            got.append(json.loads(text))

    with serve(take, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        with Delivery([destination_of(f"ws://127.0.0.1:{port}/events")]) as send:
            send(WAVE)
            wait_for(lambda: got)
            lines[0].close()
            wait_for(lambda: lines[0].state.name == "CLOSED")
            threading.Event().wait(0.2)
            send(FIST)
            wait_for(lambda: len(got) == 2)
        server.shutdown()
    assert got == [facts_of(WAVE), facts_of(FIST)]


@pytest.fixture
def hook() -> Iterator[tuple[int, list[int], list[dict[str, object]]]]:
    """A web server's port, the answers it gives next (200 when there is none), and what it got."""
    answers: list[int] = []
    got: list[dict[str, object]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, answers, got
    server.shutdown()


def test_a_hook_that_fails_is_tried_again_and_one_that_refuses_is_not(
    hook: tuple[int, list[int], list[dict[str, object]]],
) -> None:
    port, answers, got = hook
    answers[:] = [503, 200, 404, 200]
    notices: list[str] = []
    with Delivery([destination_of(f"http://127.0.0.1:{port}/x")], notice=notices.append) as send:
        send(WAVE)
        send(FIST)
        send(WAVE)
        wait_for(lambda: len(got) == 4)
    assert [facts["label"] for facts in got] == ["wave", "wave", "fist", "wave"]
    assert ["tried again" in text for text in notices] == [True, False] and "404" in notices[1]


def noting(folder: Path, what: str) -> tuple[str, Path]:
    """A command that appends what an expression says of its event, and the file that it appends to."""
    script, out = folder / "note.py", folder / "out.txt"
    script.write_text(f"import json, os, sys\nwith open(sys.argv[1], 'a') as out:\n    print({what}, file=out)\n")
    return f"{sys.executable} {script} {out}", out


def test_a_command_gets_the_event_and_no_shell(tmp_path: Path) -> None:
    note, out = noting(tmp_path, "json.load(sys.stdin)['label'], os.environ['LAST_EDGE_LABEL'], sys.argv[2:]")
    with Delivery([command_of(f"wave={note} '$(touch x)' ;ls")]) as send:
        send(FIST)
        send(WAVE)
        wait_for(lambda: out.exists() and out.read_text())
    assert out.read_text() == "wave wave ['$(touch x)', ';ls']\n"


def test_a_command_that_fails_is_told_and_not_repeated() -> None:
    notices: list[str] = []
    with Delivery([Command("*", f"{sys.executable} -c 'raise SystemExit(3)'")], notice=notices.append) as send:
        send(WAVE)
        wait_for(lambda: notices)
    assert len(notices) == 1 and "exit status 3" in notices[0]


class Stuck(Destination):
    """Holds every event until it is let go."""

    def __init__(self) -> None:
        super().__init__("stuck")
        self.go, self.got = threading.Event(), 0

    def send(self, facts: dict[str, str | float]) -> None:
        self.go.wait()
        self.got += 1


def test_a_slow_receiver_holds_nothing_up_and_what_is_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "QUEUE", 10)
    stuck, notices = Stuck(), []
    with Delivery([stuck], notice=notices.append) as send:
        for _ in range(100):
            send(WAVE)
        stuck.go.set()
        wait_for(lambda: stuck.got >= 10)
    assert stuck.got in (10, 11) and notices[0].endswith("events are dropped")
    assert notices[-1] == f"stuck: {100 - stuck.got} events were not delivered"


@pytest.mark.parametrize("text", ["mqtt:lamp", "ftp://host/x", "http://host:port/", "lamp", "http://host/a b"])
def test_what_is_no_destination_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        destination_of(text)


def test_a_password_is_not_shown() -> None:
    assert deliver.shown(urlsplit("mqtt://me:secret@host:1/x")) == "mqtt://host:1/x"
    with pytest.raises(UsageError, match="LABEL=COMMAND"):
        command_of("notify-send")


def test_a_command_for_the_end_of_a_gesture_waits_for_it(tmp_path: Path) -> None:
    note, out = noting(tmp_path, "sys.argv[2], os.environ['LAST_EDGE_PHASE']")
    tables = [command_of(f"{name}={note} {name}", ["wave"]) for name in ("wave", "wave:end")]
    with Delivery([*tables, command_of(f"*:hold={note} any")]) as send:
        for phase in ("begin", "hold", "end"):
            send(replace(WAVE, phase=phase))
            wait_for(lambda phase=phase: out.exists() and f" {phase}\n" in out.read_text())
    assert out.read_text() == "wave begin\nany hold\nwave:end end\n"
    assert "phase" not in facts_of(WAVE)
    assert command_of("week:end=true", ["week:end"]).label == "week:end"
    with pytest.raises(UsageError, match="label"):
        command_of("fist:end=true", ["wave"])


def test_a_label_that_the_bundle_lacks_and_an_open_quote_are_refused() -> None:
    assert command_of("*=true", ["wave"]).label == "*" and command_of("wave=true", ["wave"]).label == "wave"
    with pytest.raises(UsageError, match="wave") as caught:
        command_of("Wave=true", ["wave"])
    assert "wave" in str(caught.value.expected)
    with pytest.raises(UsageError, match="not understood"):
        command_of('wave="unclosed')
