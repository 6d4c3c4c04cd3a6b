"""Changed files: bytes flipped, cut, doubled and put in, and JSON with odd values, as hypothesis draws them."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from random import Random
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


SEEDS = st.integers(0, 2**48)
"""A change is drawn as one number: drawing each of its parts takes longer than most readers."""


def budget(count: int) -> settings:
    """So many inputs, the same ones each time."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=checks, database=None)


def changed_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """One to four changes of some bytes."""
    return SEEDS.map(lambda seed: change_bytes(Random(seed), content))


def changed_json(content: bytes) -> st.SearchStrategy[bytes]:
    """One to three values replaced by odd ones, dropped, or put under a new name."""
    return SEEDS.map(lambda seed: change_json(Random(seed), content))


def changed_file(contents: Mapping[Path, bytes]) -> st.SearchStrategy[tuple[Path, bytes]]:
    """One of the files, and what is to stand in it instead."""
    paths = sorted(contents)

    def change(seed: int) -> tuple[Path, bytes]:
        random = Random(seed)
        path = random.choice(paths)
        as_json = path.suffix == ".json" and random.random() < 0.5
        return path, (change_json if as_json else change_bytes)(random, contents[path])

    return SEEDS.map(change)


def change_bytes(random: Random, content: bytes) -> bytes:
    """See `changed_bytes`."""
    mutable = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(max(len(mutable), 1))
        kind = random.choice(("flip", "cut", "token", "double", "drop", "number"))
        if kind == "flip" and mutable:
            mutable[place] ^= 1 << random.randrange(8)
        elif kind == "cut":
            del mutable[place:]
        elif kind == "token":
            mutable[place:place] = random.choice(TOKENS)
        elif kind == "double":
            mutable += mutable[place : place + 4096]
        elif kind == "drop":
            del mutable[place : place + random.randint(1, 64)]
        elif mutable:
            mutable[place : place + 4] = random.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\1"))
    return bytes(mutable)


def change_json(random: Random, content: bytes) -> bytes:
    """See `changed_json`."""
    tree = json.loads(content)
    for _ in range(random.randint(1, 3)):
        here: Any = tree
        for _ in range(random.randint(0, 5)):
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            inner = [key for key in keys if isinstance(here[key], dict | list) and here[key]]
            if not inner:
                break
            here = here[random.choice(inner)]
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            continue
        key = random.choice(keys)
        if random.random() < 0.5:
            here[key] = copy.deepcopy(random.choice(ODD))  # a later change may reach into it
        elif random.random() < 0.5:
            del here[key]
        elif isinstance(here, dict):
            here[random.choice(("", "x", "schema_version", "\ud800"))] = here[key]
    return json.dumps(tree).encode()
