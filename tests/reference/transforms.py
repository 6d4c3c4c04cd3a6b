"""What `LandmarkFront` makes of points, in numpy: written apart from it, to hold it to."""

from __future__ import annotations

import numpy as np

from last_edge.inputs import InputSpec, fit_window
from last_edge.inputs.spec import Points
from last_edge.models.front import SMALLEST_SCALE
from last_edge.skeleton.layout import limb_lengths


def model_input(points: Points, spec: InputSpec) -> Points:
    """(M, T', V, C) points, NaN where missing -> (M, S*C, T, V) streams: window, normalise, streams."""
    return streams(normalise(fit_window(points, spec.frames), spec), spec)


def normalise(points: Points, spec: InputSpec) -> Points:
    """(M, T, V, C) centred and scaled by body 0; missing points stay NaN."""
    centred = points - _origin(points[0], spec)
    return np.asarray(centred / _unit(points[0], spec), np.float32)


def streams(points: Points, spec: InputSpec) -> Points:
    """(M, T, V, C) normalised points -> (M, S*C, T, V), streams in `spec.streams` order, nothing missing."""
    parts = [np.nan_to_num(MAKERS[name](points, spec), nan=0.0) for name in spec.streams]
    return np.ascontiguousarray(np.concatenate(parts, axis=-1).transpose(0, 3, 1, 2), np.float32)


def _origin(body: Points, spec: InputSpec) -> Points:
    """(1 or T, 1, C) what is subtracted; 0 where the centre is never seen."""
    if spec.centre == "none":
        return np.zeros((1, 1, body.shape[-1]), np.float32)
    centre = body[:, list(spec.layout.centre)].mean(axis=1, keepdims=True)
    if spec.centre == "first":
        seen = ~np.isnan(centre[:, 0]).any(-1)
        first = int(seen.argmax())
        centre = centre[first : first + 1]
    return np.asarray(np.nan_to_num(centre, nan=0.0), np.float32)


def _unit(body: Points, spec: InputSpec) -> Points:
    """(1 or T, 1, 1) what divides: the scale limb's mean length over the frames that show it, or each frame's own.

    A frame without it takes the mean; the mean is 1 where it is never seen or has no length.
    """
    if spec.scale == "none":
        return np.ones((1, 1, 1), np.float32)
    lengths = limb_lengths(body, spec.layout)
    seen = ~np.isnan(lengths)
    mean = np.nan_to_num(lengths, nan=0.0).sum() / max(int(seen.sum()), 1)
    unit = np.full(1, mean if mean > SMALLEST_SCALE else 1.0)
    if spec.scale == "frame":
        unit = np.where(lengths > SMALLEST_SCALE, lengths, unit)
    return np.asarray(unit[:, None, None], np.float32)


def _joint(points: Points, spec: InputSpec) -> Points:
    return points


def _velocity(points: Points, spec: InputSpec) -> Points:
    """J(t+1) - J(t); 0 in the last frame."""
    step = np.zeros_like(points)
    step[:, :-1] = points[:, 1:] - points[:, :-1]
    return step


def _bone(points: Points, spec: InputSpec) -> Points:
    """J(child) - J(parent); a root is its own parent and gets 0."""
    return np.asarray(points - points[:, :, list(spec.layout.parents)], np.float32)


MAKERS = {"joint": _joint, "velocity": _velocity, "bone": _bone}
