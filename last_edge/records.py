"""Frozen dataclasses to JSON and back, strictly: an unknown or missing field is an error that names it.

And plain values as text: JSON for programs, tables in Markdown for people.
"""

import dataclasses
import hashlib
import json
import re
import sys
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

from last_edge.errors import InputError
from last_edge.files import write_text
from last_edge.names import did_you_mean

Record = TypeVar("Record")
HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""Where a surrogate may stand, which is a letter only with its other half."""


def to_dict(record: Any) -> dict[str, Any]:
    """A dataclass as plain JSON types; tuples become lists."""
    return cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(record))))


def to_json(record: Any) -> str:
    """Canonical JSON: sorted keys, two spaces, newline at the end; equal records give equal bytes."""
    return canonical(to_dict(record))


def canonical(plain: dict[str, Any]) -> str:
    """Plain JSON types as text, one text for equal ones."""
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def as_json(plain: Any) -> str:
    """Plain JSON types as text for people and programs, in their own order."""
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, plain: Any) -> None:
    """Write plain JSON types to a file, through a partial one."""
    write_text(path, as_json(plain))


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """The lines of a table in Markdown."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]


def digest(record: Any) -> str:
    """sha256 of the canonical JSON."""
    return hashlib.sha256(to_json(record).encode()).hexdigest()


def save(record: Any, path: Path) -> None:
    """Write the record's canonical JSON to `path`, through a partial file."""
    write_text(path, to_json(record))


def load(kind: type[Record], path: Path) -> Record:
    """Read a record of class `kind`; `InputError` names file and field when it does not fit."""
    return from_dict(kind, read_json(path), where=path)


def read_json(path: Path) -> Any:
    """Parse a JSON file; `InputError` when it is absent or not JSON."""
    try:
        return parse_json(path.read_bytes(), where=path)
    except FileNotFoundError as error:
        raise InputError("file not found", where=path) from error


def parse_json(content: bytes | str, *, where: object) -> Any:
    """Parse somebody's JSON; `InputError` also where it is nested too deep, holds a number of thousands of digits, or
    half of a letter, which no file can be written with.
    """
    try:
        if isinstance(content, bytes):
            content = content.decode(json.detect_encoding(content))
        value = json.loads(content)
        if HALF.search(content):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError("not a JSON file", where=where, got=str(error)[:200]) from error
    return value


def from_dict(kind: type[Record], value: Any, *, where: object) -> Record:
    """Build `kind` from plain JSON types; `where` names the source in errors."""
    if not isinstance(value, dict):
        raise InputError(f"{kind.__name__}: not an object", where=where, got=type(value).__name__)
    fields = {field.name: field for field in dataclasses.fields(cast(Any, kind))}
    for name in value:
        if name not in fields:
            close = did_you_mean(name, fields)
            raise InputError(f"{kind.__name__}: unknown field {name!r}", where=where, expected=close)
    unset = (dataclasses.MISSING, dataclasses.MISSING)
    required = [name for name, field in fields.items() if (field.default, field.default_factory) == unset]
    missing = [name for name in required if name not in value]
    if missing:
        raise InputError(f"{kind.__name__}: missing field {', '.join(map(repr, missing))}", where=where)
    hints = typing.get_type_hints(kind)
    parts = {name: _decode(hints[name], part, f"{where} › {name}") for name, part in value.items()}
    if "schema_version" in fields:
        known = fields["schema_version"].default
        if (got := parts.get("schema_version", known)) != known:
            raise InputError(f"{kind.__name__}: schema version not supported", where=where, expected=known, got=got)
    return kind(**parts)


def _decode(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type `hint`; raises `InputError` where it is not."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(cast(type[Any], hint), value, where=where)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(arguments, value, where)
    if origin is typing.Literal:
        return _expect(value in arguments, value, where, " | ".join(map(str, arguments)))
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if origin is list:
        _expect(isinstance(value, list), value, where, "a list")
        return [_decode(arguments[0], part, f"{where}[{index}]") for index, part in enumerate(value)]
    if origin is dict:
        _expect(isinstance(value, dict), value, where, "an object")
        return {key: _decode(arguments[1], part, f"{where} › {key}") for key, part in value.items()}
    if hint is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), value, where, "a number")
        _expect(abs(value) <= sys.float_info.max, value, where, "a finite number")
        return float(value)
    if hint is int:
        _expect(isinstance(value, int) and not isinstance(value, bool), value, where, "an integer")
        return _expect(abs(value) < 2**63, value, where, "an integer of 64 bits")
    return _expect(isinstance(value, hint), value, where, hint.__name__)


def _decode_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    failure: InputError | None = None
    for hint in (argument for argument in arguments if argument is not type(None)):
        try:
            return _decode(hint, value, where)
        except InputError as error:
            failure = error
    raise failure or InputError("null is not allowed", where=where)


def _decode_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _expect(isinstance(value, list | tuple), value, where, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_decode(arguments[0], part, f"{where}[{index}]") for index, part in enumerate(value))
    _expect(len(value) == len(arguments), value, where, f"{len(arguments)} items")
    return tuple(_decode(hint, part, where) for hint, part in zip(arguments, value, strict=True))


def _expect(holds: bool, value: Any, where: str, expected: str) -> Any:
    if not holds:
        raise InputError("field has the wrong type or value", where=where, expected=expected, got=repr(value)[:80])
    return value
