"""Playing composed streams through the recogniser as `run` would, frame by frame, and scoring its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.compose import Stream
from last_edge.errors import InputError
from last_edge.runtime.backends import Backend
from last_edge.runtime.pipeline.session import with_threshold
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.model import DeployedModel
from last_edge.runtime.recognise.recognise import RecogniseOptions, Recogniser
from last_edge.runtime.recognise.results import Event
from last_edge.runtime.recognise.stream_score import StreamScore
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

NEVER = np.float32(-1e4)


class Silenced:
    """A backend that never answers with some classes, as if it had not been taught them."""

    def __init__(self, backend: Backend, silent: Sequence[int]) -> None:
        self._backend, self._silent = backend, list(silent)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K) logits."""
        logits = self._backend(points).copy()
        logits[:, self._silent] = NEVER
        return logits


def evaluate_streams(
    model: DeployedModel,
    streams: Sequence[Stream],
    *,
    layout: Layout,
    units: Units,
    options: RecogniseOptions,
    unknown: Sequence[str] = (),
) -> dict[str, Any]:
    """Detection rate, false events a minute and delay, over all and by person.

    layout, units: of the streams' points. unknown: classes whose clips the streams play as unknown motions; the model
    keeps silent on them. `InputError` when the model has no such class.
    """
    if strange := set(unknown) - set(model.labels):
        raise InputError("the bundle has no such class", got=", ".join(sorted(strange)), expected=list(model.labels))
    silent = [model.labels.index(label) for label in unknown]
    spoken = replace(model, backend=cast(Backend, Silenced(model.backend, silent))) if silent else model
    adapter = Adapter(layout, units, spec=model.spec, target_units=model.units)
    whole, by_subject = StreamScore(), {}
    for stream in streams:
        one = StreamScore()
        events = play(spoken, stream, adapter=adapter, options=options)
        for score in (whole, one):
            score.add(events, stream.spans, seconds=float(stream.times[-1]))
        by_subject[stream.subject] = one.to_dict()
    return {**whole.to_dict(), "by_subject": by_subject}


def play(model: DeployedModel, stream: Stream, *, adapter: Adapter, options: RecogniseOptions) -> list[Event]:
    """Every event of a stream, by a recogniser made for it."""
    recogniser = Recogniser(
        model.backend,
        adapter=adapter,
        labels=model.labels,
        options=with_threshold(options, model),
        rejection=model.rejection,
    )
    moments = enumerate(stream.times.tolist())
    events = (recogniser.push(stream.points[:, frame], moment) for frame, moment in moments)
    return [event for event in events if event is not None]
