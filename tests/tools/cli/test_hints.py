"""Every command, option, setting and extra that a message tells people to type exists."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from last_edge.tasks.config import Recipe

ROOT = Path(__file__).parents[3]
FOLDERS = ("last_edge", "train", "distill", "export", "runtime", "tools")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
SETTING = re.compile(r"--set (\w+)\.(\w+)")
EXTRA = re.compile(r"last-edge\[([\w,-]+)\]")
CLAUSES = re.compile(r",? then |, |; | or ")
"""An option after one of these belongs to the command that failed, unless another is named behind it."""
PLACEHOLDER = "X"


@dataclasses.dataclass(frozen=True)
class Hint:
    """A text that a message may show. advice: it stands where hints stand; else it names a command somewhere."""

    where: str
    text: str
    advice: bool


def text_of(node: ast.expr | None, constants: dict[str, ast.expr]) -> str:
    """The text of an expression, a placeholder for every value that only a run knows; "" where it is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part, constants) or PLACEHOLDER for part in parts)
        case ast.Name(id=name) if name in constants:
            return text_of(constants[name], {})
        case ast.IfExp(body=body, orelse=other):
            return " or ".join(filter(None, (text_of(body, constants), text_of(other, constants))))
        case ast.Call(func=ast.Attribute(value=inner, attr="format")):
            return text_of(inner, constants)
        case ast.BinOp(left=left, right=right):
            return text_of(left, constants) + text_of(right, constants)
    return ""


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and what they are set to, of `a = x` and of `a, b = x, y`."""
    if isinstance(node, ast.Assign):
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        yield from ((name.id, expression) for name, expression in pairs if isinstance(name, ast.Name))


def hints_of(path: Path) -> Iterator[Hint]:
    """The texts of one source file that tell what to type; docstrings apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = dict(pair for node in tree.body for pair in assigned(node))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.keyword) and node.arg == "hint":
            yield Hint(where, text_of(node.value, constants), advice=True)
        yield from (Hint(where, text_of(value, constants), True) for name, value in assigned(node) if name == "hint")
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in docs | inside:
            yield Hint(where, text_of(node, constants), advice=False)


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


HINTS = sorted(
    {hint for path in sources() for hint in hints_of(path) if hint.text and (hint.advice or "last-edge " in hint.text)},
    key=lambda hint: (hint.where, hint.text),
)


def test_there_are_hints() -> None:
    assert len([hint for hint in HINTS if hint.advice]) > 100


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint.where)
def test_what_a_message_says_to_type_exists(hint: Hint, commands: Any) -> None:
    known = commands.below(commands.root)
    for clause in CLAUSES.split(hint.text):
        _, typed, rest = clause.rpartition("last-edge ")
        words = (rest if typed else clause).split()
        named = commands.named(words) if typed or words[:1] and words[0] in known else commands.root
        assert set(OPTION.findall(rest if typed else clause)) <= commands.options(named)


def test_settings_exist() -> None:
    groups = typing.get_type_hints(Recipe)
    for hint in HINTS:
        for group, name in SETTING.findall(hint.text):
            fields = {field.name for field in dataclasses.fields(groups[group])}
            assert name in fields or name == PLACEHOLDER, hint


def test_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    texts = [text for path in sources() for text in EXTRA.findall(path.read_text(encoding="utf-8"))]
    assert texts and {name for text in texts if text != PLACEHOLDER for name in text.split(",")} <= set(extras)
