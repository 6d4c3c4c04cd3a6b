"""What the window's keys change in recognition while it runs: precision and threshold."""

from __future__ import annotations

from collections.abc import Callable

from last_edge.errors import LastEdgeError
from last_edge.runtime.recognise.model import DeployedModel
from last_edge.runtime.recognise.recognise import Recogniser
from last_edge.runtime.view.window import Action

STEP = 0.05


class Actions:
    """load: the bundle in the precision of its keyword; each is loaded once. notice: told of a changed precision.

    model: the one that answers now.
    """

    def __init__(
        self,
        model: DeployedModel,
        recogniser: Recogniser,
        *,
        load: Callable[..., DeployedModel],
        notice: Callable[[str], None],
    ) -> None:
        self.model, self._recogniser = model, recogniser
        self._load, self._notice, self._loaded = load, notice, {model.precision: model}

    @property
    def by_key(self) -> dict[str, Action]:
        """The actions as `Controls` takes them."""
        return {"p": self.swap, "+": lambda: self.move(STEP), "-": lambda: self.move(-STEP)}

    @property
    def badge(self) -> str:
        """Backend, precision and threshold."""
        return f"{self.model.backend.name}  {self.model.precision}  from {self._recogniser.decoder.threshold:.0%}"

    def swap(self) -> str:
        """Go on with the bundle's other precision."""
        other = "fp32" if self.model.precision == "int8" else "int8"
        try:
            model = self._loaded.get(other) or self._load(precision=other)
        except LastEdgeError as error:
            return error.what
        self._notice(f"precision {self.model.precision} → {other}")
        self.model = self._loaded[other] = model
        self._recogniser.use(model.backend, model.rejection)
        return f"now {other}"

    def move(self, step: float) -> str:
        """Change the least probability of an event."""
        decoder = self._recogniser.decoder
        decoder.threshold = round(min(max(decoder.threshold + step, STEP), 1.0), 2)
        return f"events from {decoder.threshold:.0%}"
