"""A bound on the memory that a foreign graph may ask for: a node of 200 bytes can name a tensor of terabytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

STATM = Path("/proc/self/statm")
MORE_BYTES = 2 * 2**30
"""What the process may take beyond what it has while a graph is loaded and run for the first time."""

_one = threading.RLock()


@contextmanager
def limited_memory(more: int = MORE_BYTES) -> Iterator[None]:
    """Let this process map no more than so many further bytes; on Linux alone, elsewhere nothing is held.

    Whoever asks for more gets an error of its allocation, in every thread.
    """
    if resource is None or not STATM.exists():
        yield
        return
    with _one:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = int(STATM.read_text().split()[0]) * resource.getpagesize() + more
        known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([most, *known]), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
