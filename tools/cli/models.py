"""`last-edge models`, `zoo` and `recipes`: what can be trained, with which values, and what is trained already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from last_edge.errors import InputError, UsageError
from last_edge.names import did_you_mean
from last_edge.tools.cli.options import SCREEN, Force, More, Screen, Set
from last_edge.tools.output import make_table

if TYPE_CHECKING:
    from last_edge.bundle import Manifest

FEWEST_OF_A_HAND = 16
"""Points: a part of a layout with fewer is a palm or a wrist, not a hand."""


def models(
    classes: Annotated[int, Option(min=2, help="Class count of the last layer.")] = 60,
    layout: Annotated[str, Option(help="A shipped layout or a layout file.")] = "ntu25",
    screen: Screen = SCREEN,
) -> None:
    """List every model with its parameters and FLOPs at a class count and layout.

    A model that gives a sentence is counted with 4,000 sub-words and its longest sentence. `models fetch NAME` gets
    landmark models.

    Example: last-edge models --layout shrec22 --classes 14
    """
    from last_edge.tools.counts import kept_counts

    rows = kept_counts(layout, classes)
    if rows is None:
        from last_edge.models.describe import describe_models

        rows = describe_models(layout=layout, classes=classes)
    columns: dict[str, list[Any]] = {
        "model": [row["name"] for row in rows],
        "weights": [row["params"] for row in rows],
        "deployed": [row["inference_params"] for row in rows],
        "gflops": [f"{row['gflops']:.3f}" for row in rows],
        "sees": [row["receptive_field"] or "all" for row in rows],
        "streams": ["yes" if row["streamable"] else "" for row in rows],
        "gives": [row["gives"] for row in rows],
    }
    title = f"{classes} classes, {layout}, 64 frames; sees: frames that an answer depends on"
    screen.emit(rows, table=lambda: make_table(title, columns))


def fetch(
    name: Annotated[
        Literal["hand", "hand_lite", "pose", "pose_lite", "pose_heavy", "holistic", "all"],
        Argument(metavar="NAME", help="hand, hand_lite, pose, pose_lite, pose_heavy, holistic or all."),
    ],
    official: Annotated[bool, Option("--official", help="Download Google's file instead of pip's parts.")] = False,
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
    name: Annotated[str, Argument(metavar="NAME", help="A shipped recipe, or a YAML file.")],
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


def zoo_ls(screen: Screen = SCREEN) -> None:
    """List the bundles that have a name: what each recognises, of which points, in which precisions.

    A name of the zoo stands wherever a bundle's path does.

    Example: last-edge zoo ls --json
    """
    from last_edge.bundle import Bundle
    from last_edge.bundle.zoo import zoo

    rows: list[dict[str, Any]] = []
    for name, path in zoo().items():
        manifest = Bundle.open(path, verify_hashes=False).manifest
        layout, precisions = manifest.input.layout.name, list(manifest.precisions)
        about = {"name": name, "model": manifest.model.name, "layout": layout, "labels": list(manifest.labels)}
        rows.append({**about, "precisions": precisions, "hands": hands_of(manifest)})
    columns: dict[str, list[Any]] = {key: [row[key] for row in rows] for key in ("name", "model", "layout", "hands")}
    columns["classes"] = [len(row["labels"]) for row in rows]
    columns["precisions"] = [", ".join(row["precisions"]) for row in rows]
    screen.emit(rows, table=lambda: make_table("zoo", columns))


def hands_of(manifest: Manifest) -> int:
    """How many hands a bundle reads, finger by finger."""
    spec = manifest.input
    if spec.layout.one_hand:
        return spec.bodies
    parts = spec.layout.parts.items()
    return sum("hand" in name and len(joints) >= FEWEST_OF_A_HAND for name, joints in parts)


def zoo_get(
    name: Annotated[str, Argument(metavar="NAME", help="Of the zoo; `last-edge zoo ls` lists them.")],
    out: Annotated[Path | None, Option(help="Where the bundle goes; default: NAME here.")] = None,
    source: Annotated[
        str | None,
        Option(
            "--from",
            metavar="SOURCE",
            help="Folder, zoo's wheel, .last archive, an address of one of them or above NAME, or hf:OWNER/REPOSITORY.",
        ),
    ] = None,
    sha256: Annotated[str, Option(help="With --from: what the archive or wheel must hash to.")] = "",
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Copy a bundle of the zoo, or get one from elsewhere, every file held to its hash.

    Only this command goes to an address, and only to the one that it is given.

    Example: last-edge zoo get last_lite_nano_shrec14 --from https://example.org/zoo --out my_gestures
    """
    from last_edge.bundle.fetch import get_bundle
    from last_edge.bundle.zoo import zoo

    place = out or Path(name)
    if source is None:
        bundles = zoo()
        if name not in bundles:
            hint = "--from SOURCE, where it lies elsewhere"
            raise InputError("no bundle of this name", where=name, expected=did_you_mean(name, bundles), hint=hint)
        if sha256:
            raise UsageError("--sha256 works only with --from", got=sha256)
        place, source = out or Path(bundles[name].name), str(bundles[name])
    manifest = get_bundle(name, source, place, sha256=sha256, force=force)
    screen.emit({"bundle": str(place), "model": manifest.model.name, "precisions": list(manifest.precisions)})
