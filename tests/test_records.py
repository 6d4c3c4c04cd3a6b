"""Records: canonical JSON round trip; every misfit is named with its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from last_edge import records
from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.skeleton import get_layout


@dataclass(frozen=True)
class Inner:
    width: int


@dataclass(frozen=True)
class Outer:
    name: str
    kind: Literal["a", "b"]
    inner: Inner
    pair: tuple[int, float]
    many: tuple[Inner, ...] = ()
    table: dict[str, tuple[int, ...]] | None = None
    schema_version: int = 1


GOOD: dict[str, Any] = {"name": "x", "kind": "a", "inner": {"width": 2}, "pair": [1, 2.5], "table": {"k": [1, 2]}}


def test_round_trip_and_stable_bytes(tmp_path: Path) -> None:
    record = Outer("x", "b", Inner(3), (1, 0.1), (Inner(1), Inner(2)), {"k": (1, 2)})
    records.save(record, tmp_path / "r.json")
    assert records.load(Outer, tmp_path / "r.json") == record
    assert records.digest(record) == records.digest(records.load(Outer, tmp_path / "r.json"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"nmae": "x"}, "'nmae'"),
        ({"kind": "c"}, "kind"),
        ({"inner": {"width": 2.5}}, "inner › width"),
        ({"inner": {"width": True}}, "inner › width"),
        ({"pair": [1]}, "pair"),
        ({"pair": [1, float("nan")]}, "finite"),
        ({"many": [{"width": 1}, {}]}, "many[1]"),
        ({"schema_version": 9}, "schema version"),
        ({"name": None}, "name"),
    ],
)
def test_misfits_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as error:
        records.from_dict(Outer, GOOD | change, where="file.json")
    assert named in error.value.render() and "file.json" in error.value.render()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a"'])
def test_text_that_no_parser_takes_is_bad_input(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match="not a JSON file"):
        records.read_json(tmp_path / "r.json")


@pytest.mark.parametrize(("field", "value"), [("inner", {"width": 2**63}), ("pair", [1, 10**400])])
def test_numbers_beyond_64_bits_are_bad_input(field: str, value: Any) -> None:
    with pytest.raises(InputError, match="wrong type or value"):
        records.from_dict(Outer, {**GOOD, field: value}, where="r.json")


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InputError, match="'inner'"):
        records.from_dict(Outer, {key: value for key, value in GOOD.items() if key != "inner"}, where="here")


def test_an_input_spec_carries_its_layout_whole(tmp_path: Path) -> None:
    spec = InputSpec(get_layout("shrec22"), frames=32, scale="limb")
    records.save(spec, tmp_path / "input.json")
    again = records.load(InputSpec, tmp_path / "input.json")
    assert again == spec and again.sha256 == spec.sha256


def test_half_a_letter_is_no_json_and_a_whole_one_is() -> None:
    whole = '{"name": "\\ud83d\\ude00 \\\\ud800"}'
    assert records.parse_json(whole, where="x") == records.parse_json(whole.encode("utf-16"), where="x")
    for half in ('{"name": "\\ud800"}', b'["\\uDFFF"]', b'["\xed\xa0\x80"]'):
        with pytest.raises(InputError, match="not a JSON file"):
            records.parse_json(half, where="x")
