"""Which plots a report shows, each with a title and what it says to those who cannot see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from last_edge.tools.report import plots
from last_edge.tools.report.collect import Collection, Metrics
from last_edge.tools.report.rows import make_rows


@dataclass(frozen=True)
class Drawing:
    """An inline SVG. heading: what it stands under. folded: whether it waits behind a click."""

    heading: str
    title: str
    svg: str
    folded: bool = False


def draw(found: Collection) -> dict[str, list[Drawing]]:
    """Every plot that the collection has figures for, by heading."""
    drawn: dict[str, list[Drawing]] = {}
    for drawing in (*_speed(found), *_training(found), *_classes(found)):
        if drawing.svg:
            drawn.setdefault(drawing.heading, []).append(drawing)
    return drawn


def _speed(found: Collection) -> Iterator[Drawing]:
    svg = plots.accuracy_against_latency(make_rows(found))
    yield Drawing("Accuracy against latency", "Exported files: top-1 over p50; area follows the file's size", svg or "")


def _training(found: Collection) -> Iterator[Drawing]:
    top1 = {"train_top1": ":", "val_top1": "-"}
    loss = {"loss": ":", "val_loss": "-"}
    bleu = plots.curves(found.runs, keys={"val_bleu4": "-"}, title="BLEU-4")
    yield Drawing("Training", "BLEU-4 of greedy search on sentences of held-out subjects", bleu or "")
    accuracy = plots.curves(found.runs, keys=top1, title="top-1, %")
    yield Drawing("Training", "Top-1 on training clips (dotted) and on held-out training subjects", accuracy or "")
    losses = plots.curves(found.runs, keys=loss, title="loss")
    yield Drawing("Training", "Loss on training clips (dotted) and on held-out training subjects", losses or "")


def _classes(found: Collection) -> Iterator[Drawing]:
    for name, metrics in _detailed(found):
        if metrics.get("per_class"):
            bars = plots.per_class_bars(metrics["per_class"], name=name)
            yield Drawing(name, "Share of clips recognised, by class", bars, folded=True)
        if metrics.get("confusion"):
            matrix = plots.confusion_matrix(metrics["confusion"], metrics["labels"], name=name)
            yield Drawing(name, "Confusion: true class by predicted class", matrix, folded=True)


def _detailed(found: Collection) -> Iterator[tuple[str, Metrics]]:
    """(name, metrics with classes) of every run's test and every exported file that was measured."""
    for run in found.runs:
        yield f"{run.path}, torch fp32", run.final.get("test", {})
    for bundle in found.bundles:
        for precision, metrics in bundle.measured.items():
            yield f"{bundle.path}, {precision}", metrics
