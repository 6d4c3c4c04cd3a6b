"""A window on the screen, where there is one, and what its keys do."""

import os
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

TITLE = "LAST-Edge"
Action = Callable[[], str]
"""Does something and says what, in a few words."""
ESCAPE = 27
MESSAGE_S = 2.0


def has_screen() -> bool:
    """Whether a window can be opened; on Linux that needs an X or Wayland display."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


FONTS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts")


class Display:
    """Shows frames and tells which key was pressed. A plain window of the picture's proportions, without a toolbar."""

    def __init__(self) -> None:
        self._open = False

    def show(self, image: NDArray[np.uint8], *, wait_ms: int = 1) -> int:
        """Show one (H, W, 3) frame and wait a moment; the key pressed meanwhile, -1 when none was."""
        import cv2

        if not self._open:
            import cv2

            os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false;qt.qpa.*=false")
            if folder := next(filter(os.path.isdir, FONTS), None):
                os.environ.setdefault("QT_QPA_FONTDIR", folder)
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            self._open = True
            cv2.resizeWindow(TITLE, image.shape[1], image.shape[0])
        cv2.imshow(TITLE, image)
        key = int(cv2.waitKey(wait_ms))
        return key & 0xFF if key >= 0 else -1

    def close(self) -> None:
        """Close the window."""
        import cv2

        cv2.destroyAllWindows()


class Controls:
    """actions: by key, `p`, `+`, `-`, `c` and `s`. clock: seconds; a message stays for two.

    mirrored, help, paused, stopped: what the user chose.
    """

    def __init__(
        self, actions: Mapping[str, Action], *, mirrored: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.mirrored, self.help, self.paused, self.stopped = mirrored, False, False, False
        self._actions, self._clock = actions, clock
        self._message, self._said_s = "", -MESSAGE_S

    @property
    def message(self) -> str:
        """The answer to the last key, for a moment."""
        return self._message if self.paused or self._clock() - self._said_s < MESSAGE_S else ""

    def say(self, message: str) -> None:
        """Show a message."""
        self._message, self._said_s = message, self._clock()

    def press(self, key: int) -> None:
        """Do what a key is for, as OpenCV numbers keys; -1 is none and an unknown key does nothing."""
        name = chr(key) if 0 <= key < 128 else ""
        if key == ESCAPE or name == "q":
            self.stopped = True
        elif name == " ":
            self.paused = not self.paused
            self.say("paused; space goes on" if self.paused else "")
        elif name == "m":
            self.mirrored = not self.mirrored
        elif name == "h":
            self.help = not self.help
        elif action := self._actions.get("+" if name == "=" else name):
            self.say(action())
