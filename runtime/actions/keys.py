"""Events as keys that are pressed on this machine: `--keys map.yaml`, by pynput."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from last_edge.errors import InputError, MissingError, UsageError
from last_edge.names import did_you_mean
from last_edge.runtime.actions.deliver import Destination, Final, check_label, names_of

EXAMPLE = "swipe right: right"
Presses = tuple[tuple[str, ...], ...]
"""Combinations one after the other, each of keys that are held together."""


class Keys(Destination):
    """Presses the keys that a table names for a label: `swipe right: ctrl+right`, or a list of combinations.

    labels: those that the bundle has, any where empty. A key is a letter, digit or sign, or a name of pynput such as
    `space`, `page_down`, `ctrl`, `media_play_pause`; `*` stands for labels without an entry. `grab:hold` and `grab:end`
    are for a gesture that is told while it lasts. Raises `InputError` for a table that is none, `UsageError` for an
    unknown label or key, `MissingError` without pynput or a screen.
    """

    def __init__(self, path: Path, labels: Sequence[str] = ()) -> None:
        super().__init__(f"keys {path}")
        self._presses = read_keys(path, labels)
        self._keyboard = _pynput()
        self._controller = self._keyboard.Controller()
        for presses in self._presses.values():
            for name in (name for combination in presses for name in combination):
                self._key(name, where=path)

    def send(self, facts: dict[str, str | float]) -> None:
        own, of_any = names_of(facts)
        for combination in self._presses.get(own, self._presses.get(of_any, ())):
            held = []
            try:
                for name in combination:
                    key = self._key(name)
                    self._controller.press(key)
                    held.append(key)
            except Exception as error:
                raise Final(f"{'+'.join(combination)}: {error}") from error
            finally:
                for key in reversed(held):
                    self._controller.release(key)

    def _key(self, name: str, *, where: object = None) -> Any:
        if len(name) == 1:
            return name
        known = [key.name for key in self._keyboard.Key]
        if name not in known:
            raise UsageError("no such key", where=where, got=name, expected=did_you_mean(name, known))
        return self._keyboard.Key[name]


def read_keys(path: Path, labels: Sequence[str] = ()) -> Mapping[str, Presses]:
    """What to press for each label, from YAML; `InputError` where that is not a mapping of labels to keys."""
    try:
        import yaml
    except ImportError as error:
        raise MissingError("--keys needs PyYAML", got=error, hint="pip install 'last-edge[keys]'") from error
    try:
        table = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # words alone: y is no truth
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError("not a YAML file", where=path, got=str(error).splitlines()[0]) from error
    if not isinstance(table, dict) or not table:
        raise InputError("a table of keys is empty or none", where=path, expected=EXAMPLE, got=table)
    found: dict[str, Presses] = {}
    for label, keys in table.items():
        name = label
        check_label(name, labels, what="a label that the bundle has not", where=path)
        sequence = keys if isinstance(keys, list) else [keys]
        if not sequence or not all(isinstance(item, str) and item for item in sequence):
            raise InputError("keys are words", where=f"{path} › {name}", expected=EXAMPLE, got=keys)
        found[name] = tuple(_combination(item, where=f"{path} › {name}") for item in sequence)
    return found


def _combination(text: str, *, where: str) -> tuple[str, ...]:
    """`ctrl+shift+t` as its keys; a plus sign itself is `+`."""
    if text == "+":
        return ("+",)
    names = tuple(name.strip() for name in (f"{text[:-2]}\0" if text.endswith("++") else text).split("+"))
    names = (*names[:-1], names[-1].rstrip("\0"), "+") if text.endswith("++") else names
    if not all(names):
        raise InputError("keys are joined by one +", where=where, expected="ctrl+right", got=text)
    return names


def _pynput() -> Any:
    try:
        from pynput import keyboard
    except ImportError as error:  # without a screen, too
        hint = "pip install 'last-edge[keys]', on a machine with a screen"
        raise MissingError(
            "pynput cannot press keys here", got=str(error).strip().splitlines()[0], hint=hint
        ) from error
    return keyboard
