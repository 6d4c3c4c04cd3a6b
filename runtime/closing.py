"""What is open until it is closed, and closes itself at the end of a `with`."""

from abc import ABC, abstractmethod
from typing import Self


class Closeable(ABC):
    """Has `close`, and may stand in a `with`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
