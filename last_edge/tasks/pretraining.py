"""Pre-training: a trunk that knows what movements look like, from clips with or without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from last_edge.clips.store import ClipStore
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import Plan, pretrain_plan
from last_edge.tasks.recognition import Recognition
from last_edge.tasks.task import Views

if TYPE_CHECKING:
    from last_edge.tasks.maskclr import TrunkLearner
    from last_edge.tasks.start import Start


class Pretraining(Recognition):
    """See `Task`. The models are those of recognition, without their heads."""

    name = "pre-training"

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        """See `pretrain_plan`."""
        return pretrain_plan(store, recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> TrunkLearner:
        """See `Task`."""
        from last_edge.tasks.maskclr import TrunkLearner

        return TrunkLearner(plan, recipe, start=start, views=views, device=device)
