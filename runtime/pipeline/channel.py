"""A bounded queue between two stages: full, it makes the giver wait or, for live frames, drops the oldest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """Holds at most `capacity` items; one thread gives, another takes.

    lossy: a full channel drops its oldest item, otherwise `put` waits. heir: called with a dropped item and the one
    after it, which may take over what must not be lost. dropped: items dropped. longest: most items ever held.
    """

    def __init__(self, capacity: int, *, lossy: bool, heir: Callable[[T, T], None] | None = None) -> None:
        self._items: deque[T] = deque()
        self._capacity, self._lossy, self._heir = capacity, lossy, heir
        self._changed = threading.Condition()
        self._finished = self._closed = False
        self.dropped = self.longest = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Add an item; False, and nothing is added, once the channel is closed."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._lossy and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            if len(self._items) > self._capacity:
                self._drop()
            self.longest = max(self.longest, len(self._items))
            self._changed.notify_all()
            return True

    def get(self) -> T | None:
        """The oldest item, waited for; None once the giver has finished and all is taken, or the channel is closed."""
        with self._changed:
            while not self._items and not self._finished and not self._closed:
                self._changed.wait()
            if self._closed or not self._items:
                return None
            self._changed.notify_all()
            return self._items.popleft()

    def finish(self) -> None:
        """The giver has nothing more; what is held can still be taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Forget what is held and let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def _drop(self) -> None:
        oldest = self._items.popleft()
        self.dropped += 1
        if self._heir is not None:
            self._heir(oldest, self._items[0])
