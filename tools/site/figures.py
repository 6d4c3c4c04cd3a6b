"""The figures of the guides, drawn by the code they explain.

`python -m last_edge.tools.site.figures docs/figures` writes them.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from last_edge.data.synth.hand import HANDSHAPES, hand_points
from last_edge.files import writing
from last_edge.runtime.recognise.decoding import Decoder, DecodingOptions
from last_edge.skeleton import get_layout

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "last-edge", "font.size": 10})

from matplotlib import pyplot as plt  # noqa: E402

BLUE, RED, GREY = "#1f6fc9", "#c9481f", "#8a949e"


def points() -> Any:
    """One right hand, its palm to the camera, in the two systems of axes."""
    hand = hand_points(HANDSHAPES["flat"][None])[0][:, :2]  # x away from the thumb, y along the fingers
    limbs = [(child, parent) for child, parent in enumerate(get_layout("mediapipe_hand21").parents) if child != parent]
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
    picture = np.stack([0.45 - 0.6 * hand[:, 0], 0.85 - 0.6 * hand[:, 1]], axis=-1)
    metres = np.stack([0.22 + 0.18 * hand[:, 0], 1.05 + 0.18 * hand[:, 1]], axis=-1)
    names = ("image01", "metres")
    for axis, spots, name in zip(axes, (picture, metres), names, strict=True):
        for child, parent in limbs:
            axis.plot(*spots[[child, parent]].T, color=GREY, zorder=1)
        axis.scatter(*spots.T, s=14, color=BLUE, zorder=2)
        axis.scatter(*spots[4], s=40, color=RED, zorder=3)
        axis.annotate("thumb", spots[4], textcoords="offset points", xytext=(6, 4), color=RED)
        axis.set(title=name, aspect="equal")
    axes[0].set(xlim=(0, 1.33), ylim=(1, 0), xlabel="x: right in the picture, heights", ylabel="y: down, heights")
    axes[1].set(xlim=(0.36, -0.04), ylim=(1.0, 1.3), xlabel="x: to the person's right", ylabel="y: up")
    return figure


def frame_to_event() -> Any:
    """A probability that rises and falls, and what the decoder makes of it."""
    options = DecodingOptions()
    decoder = Decoder(("swipe", "other"), options)
    times = np.arange(0, 6, 0.2)
    swipe = 0.2 + 0.75 * np.exp(-(((times - 1.9) / 0.55) ** 2)) + 0.45 * np.exp(-(((times - 4.3) / 0.15) ** 2))
    means, events = [], []
    for time, probability in zip(times, swipe, strict=True):
        given = np.array([probability, 1 - probability])
        event = decoder.push(given, start_s=max(0.0, time - 2.5), end_s=time)
        assert decoder.mean is not None
        means.append(decoder.mean[0])
        events += [event] if event and event.label == "swipe" else []
    figure, axis = plt.subplots(figsize=(7, 3))
    axis.plot(times, swipe, ".", color=GREY, label="each answer, every 0.2 s")
    axis.plot(times, means, color=BLUE, label="smoothed")
    axis.axhline(decoder.threshold, color=RED, linewidth=0.8, linestyle="--", label=f"threshold {decoder.threshold}")
    for event in events:
        axis.axvline(event.end_s, color=RED)
        axis.annotate("event", (event.end_s, 0.05), textcoords="offset points", xytext=(4, 0), color=RED)
    axis.annotate("too short: no event", (4.3, 0.52), ha="center", color=GREY)
    axis.set(xlabel="seconds", ylabel="probability of swipe", ylim=(0, 1.05))
    axis.legend(loc="upper right", fontsize=9, frameon=False)
    return figure


def int8() -> Any:
    """Values rounded to 8 bits where the range fits, is too wide, and is too narrow."""
    values = np.linspace(-0.2, 4.2, 600)
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.6), sharey=True)
    for axis, (title, top) in zip(
        axes, (("range fits", 4.0), ("too wide: coarse", 24.0), ("too narrow: cut off", 2.0)), strict=True
    ):
        step = top / 15  # drawn with 4 bits, so that steps can be seen
        axis.plot(values, np.maximum(values, 0), color=GREY)
        axis.plot(values, np.clip(np.round(values / step), 0, 15) * step, color=BLUE)
        axis.set(title=title, xlabel="float")
    axes[0].set(ylabel="after rounding")
    return figure


FIGURES: dict[str, Callable[[], Any]] = {"points": points, "frame_to_event": frame_to_event, "int8": int8}


def draw(folder: Path) -> list[Path]:
    """Write every figure as SVG into a folder; the same bytes each time."""
    written = []
    for name, figure in FIGURES.items():
        place = folder / f"{name}.svg"
        drawn = figure()
        drawn.tight_layout()
        with writing(place) as file:
            drawn.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(drawn)
        written.append(place)
    return written


if __name__ == "__main__":
    for path in draw(Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
