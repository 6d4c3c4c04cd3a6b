"""The zoo: bundles that have a name, and the one rule by which a name stands for a bundle's path."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from last_edge.bundle.bundle import MAKE_ONE, SUFFIX, is_bundle
from last_edge.errors import InputError
from last_edge.names import nearest

FOLDER = "zoo"
VARIABLE = "LAST_EDGE_ZOO"
PACKAGE = "last_edge_zoo"


def zoo_folders() -> list[Path]:
    """Where named bundles lie, the first that has a name wins.

    $LAST_EDGE_ZOO, `zoo` here, `zoo` of the checkout that this package runs from, the installed package
    `last_edge_zoo`; those of them that are there.
    """
    named = os.environ.get(VARIABLE, "")
    package = find_spec(PACKAGE)
    found = [
        *([Path(named)] if named else []),
        Path(FOLDER),
        Path(__file__).resolve().parents[2] / FOLDER,
        *map(Path, (package.submodule_search_locations or ()) if package else ()),
    ]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def zoo() -> dict[str, Path]:
    """Every named bundle, by name."""
    bundles: dict[str, Path] = {}
    for folder in zoo_folders():
        for path in sorted(folder.iterdir()):
            if is_bundle(path):
                bundles.setdefault(path.name.removesuffix(SUFFIX), path)
    return bundles


def find_bundle(name: str | Path) -> Path:
    """The path a user means: a path that is there, else a bundle of the zoo, named with or without `zoo/`.

    A path with other folders, or of an archive, that is not there is given back as it is: who opens it says so.
    Raises `InputError` with the nearest names for a name that no zoo has.
    """
    path = Path(name)
    if path.exists():
        return path
    wanted = path.name if path.parent in (Path(), Path(FOLDER)) else ""
    if not wanted:
        return path
    bundles = zoo()
    found = bundles.get(wanted.removesuffix(SUFFIX))
    if found is not None:
        return found
    if path.suffix == SUFFIX:
        return path
    near = nearest(wanted, bundles)
    known = f"did you mean {' or '.join(near)}?" if near else f"a path, or one of {', '.join(bundles) or 'no zoo'}"
    hint = f"set {VARIABLE} to a folder of bundles; {MAKE_ONE} makes one"
    raise InputError("no bundle of this name", where=name, expected=known, hint=hint)
