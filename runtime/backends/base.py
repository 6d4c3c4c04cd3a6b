"""What a backend offers: whether it can run here, and a call from raw landmarks to logits; what a graph may take."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, MissingError
from last_edge.inputs.features import LANDMARKS, Inputs

Shape = tuple[int | None, ...]


try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

STATM = Path("/proc/self/statm")
MORE_BYTES = 2 * 2**30
"""What the process may take beyond what it has while a graph is loaded and run for the first time."""

_one = threading.RLock()


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process map no more than `MORE_BYTES` further bytes; on Linux alone, elsewhere nothing is held.

    A node of 200 bytes in a foreign graph can name a tensor of terabytes. Whoever asks for more gets an error of its
    allocation, in every thread.
    """
    if resource is None or not STATM.exists():
        yield
        return
    with _one:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = int(STATM.read_text().split()[0]) * resource.getpagesize() + MORE_BYTES
        known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([most, *known]), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Backend(ABC):
    """One loaded model. `name` is what reports call it.

    kind: the file of a bundle that it runs: `onnx`, `tflite` or `engine`. package: as pip calls it; module: as Python
    does. mend: the command that brings it.
    """

    name: ClassVar[str]
    kind: ClassVar[str] = "onnx"
    package: ClassVar[str]
    module: ClassVar[str]
    mend: ClassVar[str]

    @abstractmethod
    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        """Load an exported model; `MissingError` when this backend is absent, `InputError` when the file is unfit."""

    @abstractmethod
    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, T, V, C) or (N, M, T, V, C) raw landmarks, NaN where missing -> (N, K) logits."""

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """As a call, of every input by its name; `InputError` when the model does not read just these."""
        if list(inputs) != [LANDMARKS]:
            raise InputError("the model reads landmarks alone", where=self.name, got=" and ".join(inputs))
        return self(inputs[LANDMARKS])

    def first_run(self, inputs: Inputs) -> NDArray[np.float32]:
        """As `run`, of a file that nobody has run yet; `InputError` where it fails or does not end."""
        return self.run(inputs)

    @property
    def metadata(self) -> dict[str, str]:
        """What the graph says of itself; empty when it says nothing."""
        return {}

    @classmethod
    def why_not(cls) -> str:
        """Why it cannot run here; empty when it can."""
        return "" if has_module(cls.module) else f"{cls.package} is not installed"

    @classmethod
    def version(cls) -> str:
        """Version of the library behind it; empty when absent."""
        from last_edge.machine import installed

        return installed(cls.package) or ""

    @classmethod
    def is_available(cls) -> bool:
        """Whether it can run here."""
        return not cls.why_not()

    @classmethod
    def runs_on(cls, gpu: str) -> bool:
        """Whether a file built for this GPU runs here."""
        return True

    @classmethod
    def require(cls) -> None:
        """`MissingError` when it cannot run here."""
        if reason := cls.why_not():
            raise MissingError(reason, hint=cls.mend)


def has_module(name: str) -> bool:
    """Whether a module is there; packages around it are imported, it is not."""
    try:
        return util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def name_of(model: Path | bytes) -> str:
    """How an error names a model."""
    return str(model) if isinstance(model, Path) else "model in memory"


def check_shape(given: tuple[int, ...], wanted: Shape, *, where: str) -> None:
    """`InputError` when points have another shape than the model's; None stands for any size."""
    fits = len(given) == len(wanted) and all(size in (None, got) for size, got in zip(wanted, given, strict=True))
    if not fits:
        raise InputError("points do not fit the model", where=where, expected=wanted, got=given)
