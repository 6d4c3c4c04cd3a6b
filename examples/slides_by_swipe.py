"""Turn the slides of a talk by swiping: the arrow keys of whatever window is in front.

pip install 'last-edge[runtime]' pynput
python examples/slides_by_swipe.py                       # the first camera
python examples/slides_by_swipe.py --dry-run clip.mp4    # only prints the keys
"""

import sys
from collections.abc import Callable

from last_edge import Recogniser

KEYS = {"swipe left": "right", "swipe right": "left"}  # a swipe to the left pulls the next slide in


def presser() -> Callable[[str], None]:
    """What presses a key; it needs a desktop."""
    from pynput.keyboard import Controller, Key

    keyboard = Controller()
    return lambda name: keyboard.tap(getattr(Key, name))


def main(source: str, *, dry_run: bool, bundle: str = "last_lite_nano_shrec14") -> None:
    """Press a key for each swipe that the source shows."""
    press = print if dry_run else presser()
    for event in Recogniser.open(bundle).watch(source):
        key = KEYS.get(event.label)
        if key is not None:
            press(key)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--dry-run"]
    main(words[0] if words else "cam:0", dry_run="--dry-run" in sys.argv)
