"""Changed files: bytes flipped, cut, doubled and put in, and JSON with odd values, as hypothesis draws them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MANY = int(os.environ.get("LAST_EDGE_FUZZ", "10000"))
COUNTS = pytest.mark.parametrize("count", [12, pytest.param(MANY, marks=pytest.mark.slow, id="many")])
"""Inputs a target: a few, and many in the slow tests."""
TOKENS = (b"\0", b"\xff\xfe", b"NaN", b"-1", b"1e400", b"9" * 400, b"[" * 3000, b"../", b"\xed\xa0\x80",
          b"${oc.env:HOME}", b"null", b"{}", b"\"", b"\n", b",", b"\x80\x04.", b"PK\3\4")  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 2**63, -(2**31), 0.5, float("nan"), float("inf"), "", "x" * 3000, "../../etc/passwd",
    "\ud800", [], {}, [[]], {"a": 1}, ["x"] * 50, [0] * 3, "1", [None],
)  # fmt: skip


def budget(count: int) -> settings:
    """So many inputs, the same ones each time."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=checks, database=None)


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """One to four changes of some bytes."""
    mutable = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(mutable) - 1, 0)))
        kind = draw(st.sampled_from(("flip", "cut", "token", "double", "drop", "number")))
        if kind == "flip" and mutable:
            mutable[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del mutable[place:]
        elif kind == "token":
            mutable[place:place] = draw(st.sampled_from(TOKENS))
        elif kind == "double":
            mutable += mutable[place : place + 4096]
        elif kind == "drop":
            del mutable[place : place + draw(st.integers(1, 64))]
        elif mutable:
            mutable[place : place + 4] = draw(st.sampled_from((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\1")))
    return bytes(mutable)


@st.composite
def changed_json(draw: st.DrawFn, content: bytes) -> bytes:
    """One to three values replaced by odd ones, dropped, or put under a new name."""
    tree = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        here: Any = tree
        for _ in range(draw(st.integers(0, 5))):
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            inner = [key for key in keys if isinstance(here[key], dict | list) and here[key]]
            if not inner:
                break
            here = here[draw(st.sampled_from(inner))]
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            continue
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            here[key] = draw(st.sampled_from(ODD))
        elif draw(st.booleans()):
            del here[key]
        elif isinstance(here, dict):
            here[draw(st.sampled_from(("", "x", "schema_version", "\ud800")))] = here[key]
    return json.dumps(tree).encode()


@st.composite
def changed_file(draw: st.DrawFn, files: list[Path]) -> tuple[Path, bytes]:
    """One of the files, and what is to stand in it instead."""
    path = draw(st.sampled_from(files))
    content = path.read_bytes()
    if path.suffix == ".json" and draw(st.booleans()):
        return path, draw(changed_json(content))
    return path, draw(changed_bytes(content))
