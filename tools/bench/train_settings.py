"""Settings of a training that `last-edge bench train` puts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from last_edge.errors import UsageError
from last_edge.names import did_you_mean

PLAIN = "plain"
PLAIN_SETS = ("training.amp=off", "training.fused=off", "training.compile=false")
SWITCHES = {
    PLAIN: (),
    "bf16": ("training.amp=bf16",),
    "fp16": ("training.amp=fp16",),
    "fused": ("training.fused=on",),
    "compile": ("training.compile=true",),
}
NUMBERS = {"batch": "training.batch_size", "threads": None}


@dataclass(frozen=True)
class Setting:
    """One way to train. sets: recipe values, the plain ones first. threads: None for those of the whole benchmark."""

    name: str
    sets: tuple[str, ...]
    threads: int | None = None


def parse_settings(texts: Sequence[str]) -> list[Setting]:
    """Settings by name, parts joined with `+`; `plain`, which all are compared with, comes first, asked for or not."""
    names = list(dict.fromkeys([PLAIN, *texts]))
    return [_parse(name) for name in names]


def _parse(name: str) -> Setting:
    sets: list[str] = list(PLAIN_SETS)
    threads = None
    for part in name.split("+"):
        key, equals, value = part.partition("=")
        if equals and key in NUMBERS:
            number = _count(value, part)
            threads = number if key == "threads" else threads
            sets += [] if key == "threads" else [f"{NUMBERS[key]}={number}"]
        elif not equals and key in SWITCHES:
            sets += SWITCHES[key]
        else:
            known = [*SWITCHES, *(f"{number}=N" for number in NUMBERS)]
            raise UsageError(f"unknown setting {part!r}", where=name, expected=did_you_mean(part, known))
    return Setting(name, tuple(sets), threads)


def _count(value: str, part: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UsageError("a setting's number is a whole one above 0", got=part, hint="--settings plain,batch=64")
    return int(value)
