"""The zoo: bundles that have a name, and the one rule by which a name stands for a bundle's path."""

import os
from importlib.util import find_spec
from pathlib import Path

from last_edge.bundle.manifest import MANIFEST, SUFFIX
from last_edge.names import did_you_mean

FOLDER = "zoo"
INSIDE = "bundle"
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


def find_bundle(name: str | Path, *, inside: bool = True) -> Path:
    """The path a user means: a path that is there, else a bundle of the zoo, named with or without `zoo/`.

    inside: a folder that holds a bundle as `bundle`, as `train --finetune` and `teach` leave one, stands for it.

    What is neither is given back as it is: who opens it says that nothing is there, and which names are near.
    """
    path = Path(name)
    if not path.exists():
        return zoo().get(_name(path), path)
    return path / INSIDE if inside and not is_bundle(path) and is_bundle(path / INSIDE) else path


def near_names(path: Path) -> str | None:
    """What an error says where no bundle is at a path: the nearest names of the zoo; None where it is no name."""
    known = zoo() if _name(path) else {}
    return did_you_mean(_name(path), known) if known else None


def _name(path: Path) -> str:
    """The name that a path may be, "" where it leads elsewhere."""
    return path.name.removesuffix(SUFFIX) if path.parent in (Path(), Path(FOLDER)) else ""


def is_bundle(path: Path) -> bool:
    """Whether a bundle lies here, by its name or its manifest."""
    return path.suffix == SUFFIX or (path / MANIFEST).is_file()
