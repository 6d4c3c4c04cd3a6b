"""Events as keys. pynput needs a screen, so a controller that writes down what it is told stands in its place."""

from __future__ import annotations

import enum
import sys
import types
from pathlib import Path

import pytest

from last_edge.errors import InputError, MissingError, UsageError
from last_edge.runtime.actions.deliver import Delivery, Final
from last_edge.runtime.actions.keys import Keys, read_keys
from last_edge.runtime.recognise.decoding import Event


class Key(enum.Enum):
    ctrl = 1
    right = 2
    space = 3


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the controller was told, in order."""
    told: list[str] = []

    class Controller:
        def press(self, key: object) -> None:
            if key == "!":
                raise RuntimeError("no such key on this keyboard")
            told.append(f"+{getattr(key, 'name', key)}")

        def release(self, key: object) -> None:
            told.append(f"-{getattr(key, 'name', key)}")

    keyboard = types.ModuleType("pynput.keyboard")
    keyboard.Key, keyboard.Controller = Key, Controller  # type: ignore[attr-defined]
    package = types.ModuleType("pynput")
    package.keyboard = keyboard  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynput", package)
    monkeypatch.setitem(sys.modules, "pynput.keyboard", keyboard)
    return told


def table(folder: Path, text: str) -> Path:
    path = folder / "map.yaml"
    path.write_text(text)
    return path


def test_the_end_of_a_gesture_has_keys_of_its_own(pressed: list[str], tmp_path: Path) -> None:
    path = table(tmp_path, "wave: space\nwave:end: [right]\n")
    with Delivery([Keys(path, ("wave",))]) as deliver:
        for phase in ("begin", "hold", "end"):
            deliver(Event("wave", 0.9, 0.0, 1.0, phase=phase))  # type: ignore[arg-type]
    assert pressed == ["+space", "-space", "+right", "-right"]


def test_an_event_presses_its_keys_and_lets_them_go(pressed: list[str], tmp_path: Path) -> None:
    path = table(tmp_path, "swipe right: ctrl+right\nwave: [space, 5]\n'*': x\n")
    with Delivery([Keys(path, ("swipe right", "wave", "fist"))]) as deliver:
        for label in ("swipe right", "wave", "fist"):
            deliver(Event(label, 0.9, 0.0, 1.0))
    assert pressed == ["+ctrl", "+right", "-right", "-ctrl", "+space", "-space", "+5", "-5", "+x", "-x"]


def test_a_key_that_fails_lets_the_others_go(pressed: list[str], tmp_path: Path) -> None:
    keys = Keys(table(tmp_path, "wave: ctrl+!"))
    with pytest.raises(Final, match="no such key on this keyboard"):
        keys.send({"label": "wave"})
    assert pressed == ["+ctrl", "-ctrl"]
    keys.send({"label": "fist"})  # no entry, nothing pressed
    assert pressed == ["+ctrl", "-ctrl"]


def test_tables_that_cannot_be_meant_are_refused(pressed: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such key(.|\n)*did you mean right(.|\n)*rigth"):
        Keys(table(tmp_path, "wave: rigth"))
    with pytest.raises(UsageError, match=r"a label that the bundle has not(.|\n)*did you mean wave"):
        Keys(table(tmp_path, "wav: x"), ("wave",))
    for text in ("", "- x", "wave: {a: b}", "wave: ctrl++x", "wave: []", "a: [b"):
        with pytest.raises(InputError):
            read_keys(table(tmp_path, text))
    assert read_keys(table(tmp_path, "y: n")) == {"y": (("n",),)}
    assert read_keys(table(tmp_path, "a: ctrl++\nb: '+'")) == {"a": (("ctrl", "+"),), "b": (("+",),)}


def test_without_pynput_it_says_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynput", None)
    with pytest.raises(MissingError, match=r"last-edge\[keys\]"):
        Keys(table(tmp_path, "wave: x"))
