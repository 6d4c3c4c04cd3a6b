"""One gate's verdict, and the limits that gates hold to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.data.duplicates import NEAR
from last_edge.errors import GateError, UsageError
from last_edge.names import did_you_mean

WORST = 5


@dataclass(frozen=True)
class Gate:
    """What was asked of a store and what was found.

    passed: None where the gate does not apply; `found` then tells why. clips: up to five that break the rule, the worst
    first.
    """

    name: str
    rule: str
    found: str
    passed: bool | None
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What the gates allow.

    shortest: frames. missing: share of body 0's points. largest: absolute coordinate, the trainer's input clamp.
    step: way of a joint between two frames, in the store's unit; fast: share of steps that may exceed it.
    spread: deviation of the layout's unit limb within a clip, by its mean. smallest, tallest: extent of body 0, in
    metres. origin: distance of the first frame's centre. near: distance at which two clips are one.
    two_bodies: share of NTU's mutual actions that show both. spine_short, spine_long: NTU's spine base to shoulders.
    """

    shortest: float = 2
    missing: float = 0.5
    largest: float = 30.0
    step: float = 0.5
    fast: float = 0.001
    spread: float = 0.3
    smallest: float = 0.05
    tallest: float = 3.0
    origin: float = 0.001
    near: float = NEAR
    two_bodies: float = 0.5
    spine_short: float = 0.3
    spine_long: float = 0.8


def limits_from(changes: Iterable[str]) -> Limits:
    """Limits with some changed by NAME=VALUE; `UsageError` names an unknown one or a value that is no number."""
    known = [field.name for field in dataclasses.fields(Limits)]
    values: dict[str, float] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise UsageError(f"unknown limit {name!r}", expected=did_you_mean(name, known))
        try:
            values[name] = float(text)
        except ValueError:
            raise UsageError("a limit is a number", expected=f"{name}=0.5", got=change) from None
    return Limits(**values)


def require(gates: Iterable[Gate], *, where: object) -> None:
    """`GateError` naming every gate that does not hold."""
    broken = [gate for gate in gates if gate.passed is False]
    if broken:
        got = "; ".join(f"{gate.name}: {gate.found}" for gate in broken)
        raise GateError("a quality gate failed", where=where, expected="; ".join(g.rule for g in broken), got=got)


def no_clip(name: str, rule: str, bad: NDArray[np.bool_], ids: NDArray[np.object_], found: str = "") -> Gate:
    """A gate that no clip may break. bad: (N,)."""
    count = int(bad.sum())
    return Gate(name, rule, found or f"{count} of {len(bad)} clips", count == 0, tuple(map(str, ids[bad][:WORST])))


def not_asked(name: str, rule: str, why: str) -> Gate:
    """A gate that does not apply."""
    return Gate(name, rule, why, None)
