"""A window on the screen, where there is one."""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

TITLE = "LAST-Edge"
ESCAPE = 27


def has_screen() -> bool:
    """Whether a window can be opened; on Linux that needs an X or Wayland display."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Display:
    """Shows frames until the user presses q or Escape."""

    def show(self, image: NDArray[np.uint8]) -> bool:
        """Show one (H, W, 3) frame; False when the user wants to stop."""
        import cv2

        cv2.imshow(TITLE, image)
        return (cv2.waitKey(1) & 0xFF) not in (ord("q"), ESCAPE)

    def close(self) -> None:
        """Close the window."""
        import cv2

        cv2.destroyAllWindows()
