"""Frozen teachers that answer the very points a student sees, each through its own input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from last_edge.models.front import fit_window
from last_edge.models.landmark_model import LandmarkModel


@dataclass(frozen=True, order=True)
class StageOf:
    """A stage of a teacher, both counted from 0."""

    teacher: int
    stage: int


@dataclass(frozen=True)
class Answers:
    """logits: (N, E, K) of E teachers. maps: (N, C, T, V) of those of their stages that were asked for."""

    logits: Tensor
    maps: dict[StageOf, Tensor]


class Source(Protocol):
    """Where the teachers' answers come from: the teachers themselves, or what they said before.

    points: as the student gets them. clips, view: which clips (N,) and which of their augmentations these are.
    """

    def __call__(self, points: Tensor, clips: Tensor, view: int) -> Answers: ...


class Teachers:
    """One model or several, in eval mode, without gradient or stream noise.

    Each reads the points through its own front: other streams, centring and scaling are its own affair, another window
    is stretched from the student's, and of the student's bodies it takes the first ones it knows.
    """

    def __init__(self, models: Sequence[LandmarkModel], *, wanted: Sequence[StageOf] = ()) -> None:
        self.models = [model.eval().requires_grad_(False) for model in models]
        self.wanted = tuple(wanted)

    @torch.no_grad()
    def __call__(self, points: Tensor, clips: Tensor, view: int) -> Answers:
        """See `Source`."""
        logits: list[Tensor] = []
        maps: dict[StageOf, Tensor] = {}
        for number, model in enumerate(self.models):
            stages = [key.stage for key in self.wanted if key.teacher == number]
            streams = model.front(points_for(model, points))
            features, answer = model.features_and_logits(streams) if stages else ([], model.from_streams(streams))
            maps |= {StageOf(number, stage): features[stage] for stage in stages}
            logits.append(answer.float())
        return Answers(torch.stack(logits, dim=1), maps)


def points_for(model: LandmarkModel, points: Tensor) -> Tensor:
    """A student's points (N, [M,] T, V, C) as `model` takes them: its number of bodies and of frames."""
    bodies = points if points.dim() == 5 else points[:, None]
    bodies = bodies[:, : model.spec.bodies]
    if bodies.shape[2] != model.spec.frames:
        bodies = fit_window(bodies, model.spec.frames)
    return bodies if model.spec.bodies > 1 else bodies[:, 0]
