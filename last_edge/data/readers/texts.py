"""Reading text files from outside."""

from __future__ import annotations

from last_edge.errors import InputError


def decoded(content: bytes, where: str) -> str:
    """UTF-8 text, with or without a byte order mark; `InputError` where it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not a UTF-8 text file", where=where, got=error) from error


def lines_of(content: bytes, where: str) -> list[str]:
    """Lines of a text file, without the empty ones at its end."""
    return decoded(content, where).rstrip("\r\n").split("\n")
