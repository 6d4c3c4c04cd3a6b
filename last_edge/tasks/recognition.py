"""Recognition: the class of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from last_edge.clips.store import ClipStore
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import Plan, make_plan
from last_edge.tasks.task import Views

if TYPE_CHECKING:
    from last_edge.tasks.class_learner import ClassLearner
    from last_edge.tasks.start import Start


class Recognition:
    """See `Task`."""

    name = "recognition"

    def fitted(self, recipe: Recipe, store: ClipStore) -> Recipe:
        """See `Task`; of a model with a second input the width of the store's features."""
        from last_edge.tasks.second_input import fit_second_input

        return fit_second_input(recipe, store)

    def plan(self, store: ClipStore, recipe: Recipe) -> Plan:
        """See `make_plan`."""
        return make_plan(store, recipe)

    def learner(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> ClassLearner:
        """See `Task`."""
        from last_edge.tasks.class_learner import ClassLearner

        return ClassLearner(plan, recipe, start=start, views=views, device=device)
