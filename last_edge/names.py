"""Finding the name a user probably meant; names in the order in which people number them."""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence

from last_edge.errors import UsageError

SIDES = {"left": "right", "clockwise": "counterclockwise"}
SIDES |= {other: one for one, other in SIDES.items()}
SIDE_WORDS = re.compile(r"(?<![a-z])(left|right|(?:(?:counter|anti)[- _]?)?clockwise)(?![a-z])")

BACKGROUND = ("nothing", "idle", "background", "none")
"""Labels of what is no gesture; they never become events."""


def is_background(label: str) -> bool:
    """Whether a label, however it is written, means that nothing is shown."""
    return label.strip().casefold() in BACKGROUND


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The three known names closest in spelling to `name`, best first; may be empty."""
    return difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence for an error: the nearest names, or all of them when none is near."""
    known = sorted(known)
    close = nearest(name, known)
    return f"did you mean {' or '.join(close)}?" if close else f"one of {', '.join(known)}"


def check_known(name: str, known: Collection[str], what: str, *, hint: str | None = None) -> None:
    """`UsageError` with the nearest names where `name` is none of the known."""
    if name not in known:
        raise UsageError(f"unknown {what} {name!r}", expected=did_you_mean(name, known), hint=hint)


def some(names: Iterable[str], most: int, *, between: str = ", ") -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def natural_order(name: str) -> tuple[str | int, ...]:
    """A key to sort names by, numbers in them by their value: `frame2` before `frame10`."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name))


def mirrored_order(labels: Sequence[str]) -> tuple[int, ...]:
    """For each label the place of the one that its motion shows in a mirror: `swipe left` for `swipe right`.

    A label without such another stays itself: one of a pair alone is no direction.
    """
    plain = [SIDE_WORDS.sub(_side_word, label.lower()) for label in labels]
    mirrored = (SIDE_WORDS.sub(lambda found: SIDES[found[0]], label) for label in plain)
    return tuple(plain.index(other) if plain.count(other) == 1 else place for place, other in enumerate(mirrored))


def _side_word(found: re.Match[str]) -> str:
    word = found[0]
    return word if word in SIDES else "counterclockwise"
