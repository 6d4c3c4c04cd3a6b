"""What becomes of one damaged file among many: it stops the reading, or is named and left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from last_edge.errors import InputError

logger = logging.getLogger(__name__)
_faults: ContextVar[list[InputError] | None] = ContextVar("faults", default=None)


@contextmanager
def leaving_out() -> Iterator[list[InputError]]:
    """While this is open damaged files are left out of what readers give; the list fills with their errors."""
    faults: list[InputError] = []
    token = _faults.set(faults)
    try:
        yield faults
    finally:
        _faults.reset(token)


@contextmanager
def one_file() -> Iterator[None]:
    """Around one file or clip: its `InputError` is noted where damaged files are left out, else raised."""
    try:
        yield
    except InputError as error:
        faults = _faults.get()
        if faults is None:
            raise
        faults.append(error)
        logger.warning("left out: %s", " ".join(str(error).split()))
