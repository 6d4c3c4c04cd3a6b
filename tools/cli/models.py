"""`last-edge models`, `models fetch` and `recipes`: what can be trained, what detects landmarks, with which values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from last_edge.tools.cli.options import SCREEN, Force, More, Screen, Set
from last_edge.tools.output import make_table


def models(
    classes: Annotated[int, typer.Option("--classes", min=2, help="Class count of the last layer.")] = 60,
    layout: Annotated[str, typer.Option("--layout", help="A shipped layout or a layout file.")] = "ntu25",
    screen: Screen = SCREEN,
) -> None:
    """List every model with its parameters and FLOPs at a class count and layout.

    A model that gives a sentence is counted with 4,000 sub-words and its longest sentence. `models fetch NAME` gets
    landmark models.

    Example: last-edge models --layout shrec22 --classes 14
    """
    from last_edge.models.describe import describe_models

    rows = describe_models(layout=layout, classes=classes)
    columns: dict[str, list[Any]] = {key: [row[key] for row in rows] for key in rows[0]}
    screen.emit(rows, table=lambda: make_table(f"{classes} classes, {layout}, 64 frames", columns))


def fetch(
    name: Annotated[
        Literal["hand", "hand_lite", "pose", "holistic", "all"],
        typer.Argument(metavar="NAME", help="hand, hand_lite, pose, holistic or all."),
    ],
    official: Annotated[
        bool, typer.Option("--official", help="Download Google's file instead of taking it from pip.")
    ] = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Put a MediaPipe landmark model into the cache ($LAST_EDGE_CACHE, else ~/.cache/last-edge).

    It is assembled from Google's mediapipe 0.10.21 wheel, which pip downloads; every byte is checked.

    Example: last-edge models fetch hand
    """
    from last_edge.runtime.landmarks import DETECTORS
    from last_edge.runtime.landmarks import models as landmark_models

    names = DETECTORS if name == "all" else (name,)
    paths = {each: str(landmark_models.fetch(each, official=official, force=force)) for each in names}
    if not screen.quiet or screen.json:
        screen.emit(paths)


def recipes_ls(screen: Screen = SCREEN) -> None:
    """List the shipped recipes with their launch line.

    Example: last-edge recipes ls
    """
    from last_edge.train.recipe import recipe_files

    screen.emit({name: path.read_text().splitlines()[0].lstrip("# ") for name, path in recipe_files().items()})


def recipes_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped recipe, or a YAML file.")],
    more: More = None,
    set_: Set = None,
    screen: Screen = SCREEN,
) -> None:
    """Print a recipe as it resolves, every value included.

    Example: last-edge recipes show shrec17 --set training.lr=0.001
    """
    import dataclasses

    from last_edge.train.recipe import dump_recipe, load_recipe

    recipe = load_recipe(name, overrides=[*(set_ or ()), *(more or ())])
    if screen.json:
        screen.emit(dataclasses.asdict(recipe))
    else:
        typer.echo(dump_recipe(recipe), nl=False)
