"""Events to other programs: MQTT, OSC, WebSocket, a web hook, a command. Nothing is sent that was not asked for.

Each destination has a thread and a bounded queue, so that a slow or absent receiver never holds a frame up: what fails
is tried again, ever later, and what the queue cannot hold is dropped, counted and told.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from last_edge.errors import MissingError, UsageError
from last_edge.names import did_you_mean
from last_edge.runtime.recognise.decoding import Event

QUEUE = 1000
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
FLUSH_S = 5.0
TIMEOUT_S = 5.0
LARGEST_ANSWER = 2**16
"""Bytes of a web hook's answer that are read, whatever length it names."""
ANY = "*"
LATER = ("hold", "end")
"""Phases that need a name of their own, `LABEL:end`: what is meant for a gesture is done when it begins."""
PORTS = {"mqtt": 1883, "osc": 9000, "ws": 80}
TOPIC = "last-edge/events"
Notice = Callable[[str], None]


def facts_of(event: Event) -> dict[str, str | float]:
    """An event as programs get it: label, start_s, end_s, score, and of phase, hand, person, x and y what is known."""
    numbers = {"start_s": event.start_s, "end_s": event.end_s, "score": event.probability, "x": event.x, "y": event.y}
    facts: dict[str, str | float] = {"label": event.label}
    facts |= {name: round(number, 5) for name, number in numbers.items() if number is not None}
    facts |= {name: said for name, said in (("phase", event.phase), ("hand", event.hand)) if said}
    return facts if event.person is None else facts | {"person": event.person}


def names_of(facts: Mapping[str, str | float]) -> tuple[str, str]:
    """What an event is called by `--on` and a table of keys, of its own label and of any: `wave`, or `wave:end`."""
    phase = facts.get("phase", "")
    behind = f":{phase}" if phase in LATER else ""
    return f"{facts['label']}{behind}", f"{ANY}{behind}"


def check_label(text: str, labels: Sequence[str], *, what: str, where: object = None) -> None:
    """`UsageError` where `LABEL` or `LABEL:PHASE` names none of the labels, any where there are none; `*` is each."""
    before, _, phase = text.rpartition(":")
    label = before if phase in LATER else text
    if labels and label != ANY and not {label, text} & {*labels}:
        raise UsageError(what, where=where, got=label, expected=did_you_mean(label, labels))


class Destination(ABC):
    """Where events go. `send` raises `OSError` for what may work later."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def send(self, facts: dict[str, str | float]) -> None:
        """Deliver one event."""

    def close(self) -> None:  # noqa: B027 - most have nothing to hang up
        """Hang up."""


class Mqtt(Destination):
    """mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC, quality of service 1: the broker has confirmed what is sent."""

    def __init__(self, address: SplitResult) -> None:
        super().__init__(shown(address))
        client = _imported("paho.mqtt.client", "paho-mqtt", "mqtt")
        self._topic = address.path.strip("/") or TOPIC
        self._client = client.Client(client.CallbackAPIVersion.VERSION2)
        if address.username:
            self._client.username_pw_set(address.username, address.password)
        self._place = (address.hostname or "127.0.0.1", address.port or PORTS["mqtt"])
        self._started = False

    def send(self, facts: dict[str, str | float]) -> None:
        if not self._started:
            self._client.connect(*self._place)
            self._client.loop_start()
            self._started = True
        message = self._client.publish(self._topic, json.dumps(facts, ensure_ascii=False), qos=1)
        try:
            message.wait_for_publish(TIMEOUT_S)
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error
        if not message.is_published():
            raise OSError("the broker did not confirm")

    def close(self) -> None:
        if self._started:
            self._client.disconnect()
            self._client.loop_stop()


class Osc(Destination):
    """osc://HOST[:PORT]/ADDRESS: a UDP message of label, score, start and end in seconds."""

    def __init__(self, address: SplitResult) -> None:
        super().__init__(shown(address))
        self._connect = _imported("pythonosc.udp_client", "python-osc", "osc").SimpleUDPClient
        self._place = (address.hostname or "127.0.0.1", address.port or PORTS["osc"])
        self._client: Any = None
        self._address = address.path if address.path not in ("", "/") else f"/{TOPIC}"

    def send(self, facts: dict[str, str | float]) -> None:
        if self._client is None:  # a name that nobody knows yet is asked for again
            self._client = self._connect(*self._place)
        self._client.send_message(self._address, [facts[name] for name in ("label", "score", "start_s", "end_s")])


class WebSocket(Destination):
    """ws:// or wss://: one JSON text an event, over a connection that is opened again when it is lost."""

    def __init__(self, address: SplitResult) -> None:
        super().__init__(shown(address))
        self._connect = _imported("websockets.sync.client", "websockets", "ws").connect
        self._address = address.geturl()
        self._line: Any = None

    def send(self, facts: dict[str, str | float]) -> None:
        from websockets.exceptions import WebSocketException

        try:
            if self._line is None:
                self._line = self._connect(self._address, open_timeout=TIMEOUT_S)
            self._line.send(json.dumps(facts, ensure_ascii=False))
        except (WebSocketException, OSError, TimeoutError, AssertionError) as error:  # the last on answers of HTTP
            self.close()
            raise OSError(str(error) or "no answer of a WebSocket") from error

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


class WebHook(Destination):
    """http:// or https://: a POST of JSON; an answer of 4xx is final, 5xx is tried again."""

    def __init__(self, address: SplitResult) -> None:
        super().__init__(shown(address))
        self._address = address.geturl()

    def send(self, facts: dict[str, str | float]) -> None:
        # Loaded where it is used: with TLS it takes as long as a tenth of a device's start.
        import http.client
        import urllib.request

        body = json.dumps(facts, ensure_ascii=False).encode()
        request = urllib.request.Request(self._address, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                answer.read(LARGEST_ANSWER)
        except http.client.HTTPException as error:
            raise Final(str(error)) from error


class Command(Destination):
    """A program that is started for each event of a label: JSON on its standard input, never through a shell.

    LABEL, SCORE, START_S and END_S stand in its environment behind `LAST_EDGE_`.
    """

    def __init__(self, label: str, command: str) -> None:
        super().__init__(f"command {command!r}")
        self.label = label
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise UsageError("--on: command not understood", got=f"{label}={command}", expected=str(error)) from error
        if not self._words:
            raise UsageError(
                "--on needs a command", got=f"{label}={command}", hint="--on 'swipe right=notify-send next'"
            )

    def send(self, facts: dict[str, str | float]) -> None:
        if self.label not in names_of(facts):
            return
        environment = {f"LAST_EDGE_{name.upper()}": str(value) for name, value in facts.items()}
        try:
            subprocess.run(
                self._words, input=json.dumps(facts), text=True, env=os.environ | environment, timeout=60, check=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        except (subprocess.SubprocessError, FileNotFoundError, PermissionError) as error:
            raise Final(str(error)) from error


class Final(Exception):
    """An event that will never be delivered, however often it is tried."""


KINDS: dict[str, Callable[[SplitResult], Destination]] = {
    "mqtt": Mqtt, "osc": Osc, "ws": WebSocket, "wss": WebSocket, "http": WebHook, "https": WebHook,
}  # fmt: skip


def destination_of(text: str) -> Destination:
    """The destination an address names; `UsageError` for an unknown kind, `MissingError` without its package."""
    try:
        address = urlsplit(text)
        address.port  # noqa: B018 - raises for a port that is none
    except ValueError as error:
        raise UsageError("address not understood", got=text, expected=str(error)) from error
    if any(character.isspace() or not character.isprintable() for character in text):
        raise UsageError("an address has no spaces", got=text, hint="%20 stands for one")
    if address.scheme not in KINDS or not address.hostname:
        expected = ", ".join(f"{kind}://HOST" for kind in KINDS)
        raise UsageError("unknown destination", got=text, expected=expected, hint="--send mqtt://127.0.0.1/gestures")
    return KINDS[address.scheme](address)


def command_of(text: str, labels: Sequence[str] = ()) -> Command:
    """`LABEL=COMMAND` as a destination; `*` stands for every label. labels: those there are, any where empty.

    `LABEL:hold` and `LABEL:end` are for gestures that are told while they last.
    """
    label, equals, command = text.partition("=")
    if not equals or not label:
        raise UsageError("--on needs LABEL=COMMAND", got=text, hint="--on 'swipe right=notify-send next'")
    check_label(label, labels, what="--on names a label that the bundle has not")
    return Command(label, command)


class Delivery:
    """Events on their way to several destinations; a context manager that waits a little for what is left."""

    def __init__(self, destinations: Sequence[Destination], *, notice: Notice = lambda text: None) -> None:
        self._ways = [_Way(destination, notice) for destination in destinations]

    def __call__(self, event: Event) -> None:
        """Hand an event to every destination; returns at once."""
        for way in self._ways:
            way.put(facts_of(event))

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, *error: object) -> None:
        deadline = time.monotonic() + FLUSH_S
        for way in self._ways:
            way.close(max(deadline - time.monotonic(), 0.0))


class _Way:
    """One destination's queue and thread."""

    def __init__(self, destination: Destination, notice: Notice) -> None:
        self._destination, self._notice = destination, notice
        self._queue: queue.Queue[dict[str, str | float] | None] = queue.Queue(QUEUE)
        self._closing = threading.Event()
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name=f"deliver {destination.name}", daemon=True)
        self._thread.start()

    def put(self, facts: dict[str, str | float]) -> None:
        """Queue an event; when the queue is full it is dropped, which is told once and counted."""
        try:
            self._queue.put_nowait(facts)
        except queue.Full:
            self._dropped += 1
            if self._dropped == 1:
                self._notice(f"{self._destination.name} does not keep up: events are dropped")

    def close(self, seconds: float) -> None:
        """Wait so long for what is queued, then give up; what was not delivered is told."""
        self._closing.set()
        deadline = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)
        left = self._queue.unfinished_tasks
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(max(deadline - time.monotonic(), 0.1))
        if lost := self._dropped + left:
            events = "1 event was" if lost == 1 else f"{lost} events were"
            self._notice(f"{self._destination.name}: {events} not delivered")

    def _work(self) -> None:
        while (facts := self._queue.get()) is not None:
            self._deliver(facts)
            self._queue.task_done()
        self._destination.close()

    def _deliver(self, facts: dict[str, str | float]) -> None:
        for attempt in range(10**9):
            try:
                self._destination.send(facts)
            except (Final, ValueError) as error:
                self._notice(f"{self._destination.name}: {error}")
                return
            except OSError as error:
                if _is_final(error):
                    self._notice(f"{self._destination.name}: {error}")
                    return
                if attempt == 0:
                    self._notice(f"{self._destination.name}: {error}; tried again")
                self._closing.wait(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
                if self._closing.is_set():
                    time.sleep(PAUSES_S[0])
            else:
                return


def _is_final(error: OSError) -> bool:
    """Whether a web hook has refused an event for good."""
    code = getattr(error, "code", None)
    return isinstance(code, int) and 400 <= code < 500


def shown(address: SplitResult) -> str:
    """An address without its password."""
    return address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()


def _imported(module: str, package: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'last-edge[{extra}]'"
        raise MissingError(f"{package} is not installed", got=error, hint=hint) from error
