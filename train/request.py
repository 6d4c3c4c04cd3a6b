"""What a training run is asked for: recipe, store, place; and how its clips fall into steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from last_edge.data.dataset import epoch_order
from last_edge.errors import UsageError
from last_edge.tasks.config import Recipe
from last_edge.tasks.objective import Objective
from last_edge.tasks.plan import Plan
from last_edge.tasks.task import Row, Views
from last_edge.train.processes import Processes

Report = Callable[[Row, int], None]
MakeObjective = Callable[[Recipe, Plan, str], Objective]


@dataclass(frozen=True)
class Request:
    """What to train and where.

    extra: facts that make two runs different beyond the recipe, one a line, such as each teacher. views: fixed
    augmentations of each clip that the epochs cycle through, drawn by their own seed; None for new ones every epoch,
    drawn by the recipe's. test: whether the test split is looked at in the end; False where runs are compared and one
    is to be chosen. may_change: an unfinished run, or a finished one with more epochs, goes on with other rates,
    losses, limits or augmentation; that is written down. Otherwise it is refused.
    """

    recipe: Recipe
    store: Path
    out: Path
    device: str = "cpu"
    force: bool = False
    extra: str = ""
    views: Views | None = None
    test: bool = True
    may_change: bool = False


def silent(row: Row, epochs: int) -> None:
    """A report that tells nobody."""


@dataclass(frozen=True)
class Steps:
    """Batches of `size` clips out of `clips`, dealt to the processes in turn; `per_epoch` for each process."""

    clips: int
    size: int
    per_epoch: int
    seed: int
    processes: Processes

    @classmethod
    def plan(cls, clips: int, recipe: Recipe, processes: Processes) -> Steps:
        """Steps of a recipe; `UsageError` where there are fewer clips than the processes take in one step."""
        size = recipe.training.batch_size
        together = size * processes.count
        if processes.count > 1 and clips < together:
            raise UsageError("too few training clips for this many processes", expected=f">= {together}", got=clips)
        return cls(clips, size, max(clips // together, 1), recipe.seed, processes)

    def left(self, step: int) -> list[list[int]]:
        """This process's batches of the epoch in which `step` falls, from it on; without the last, incomplete one."""
        epoch, done = divmod(step, self.per_epoch)
        order, count = epoch_order(self.clips, seed=self.seed, epoch=epoch), self.processes.count
        places = range(done * count + self.processes.rank, self.per_epoch * count, count)
        return [order[place * self.size : (place + 1) * self.size].tolist() for place in places]
