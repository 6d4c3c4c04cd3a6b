"""Each epoch's row as TensorBoard curves, beside metrics.jsonl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from last_edge.errors import MissingError
from last_edge.train.progress import Row


class TensorBoardLog:
    """Writes RUN/tensorboard; a resumed run adds a file to the folder, and TensorBoard joins them.

    The file is opened with the first row, so that a run that never got so far leaves nothing behind.
    """

    def __init__(self, out: Path) -> None:
        self.folder, self._open = out / "tensorboard", _writer_class()
        self._writer: Any = None

    def add(self, row: Row) -> None:
        """Write one epoch."""
        self._writer = self._writer or self._open(str(self.folder))
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()


def _writer_class() -> Any:
    """torch's writer; `MissingError` where its package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        hint = "pip install 'last-edge[tensorboard]', or --set training.tensorboard=false"
        raise MissingError("TensorBoard is not installed", got=error, hint=hint) from error
    return SummaryWriter
