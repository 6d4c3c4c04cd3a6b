"""What a backend offers: whether it can run here, and a call from raw landmarks to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


class Backend(ABC):
    """One loaded model. `name` is what reports call it."""

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        """Load an exported model; `MissingError` when this backend is absent, `InputError` when the file is unfit."""

    @abstractmethod
    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, T, V, C) or (N, M, T, V, C) raw landmarks, NaN where missing -> (N, K) logits."""

    @property
    def metadata(self) -> dict[str, str]:
        """What the graph says of itself; empty when it says nothing."""
        return {}

    @classmethod
    @abstractmethod
    def why_not(cls) -> str:
        """Why it cannot run here; empty when it can."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Version of the library behind it; empty when absent."""

    @classmethod
    def is_available(cls) -> bool:
        """Whether it can run here."""
        return not cls.why_not()
