"""A window on the screen, where there is one."""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

TITLE = "LAST-Edge"


def has_screen() -> bool:
    """Whether a window can be opened; on Linux that needs an X or Wayland display."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Display:
    """Shows frames and tells which key was pressed."""

    def show(self, image: NDArray[np.uint8], *, wait_ms: int = 1) -> int:
        """Show one (H, W, 3) frame and wait a moment; the key pressed meanwhile, -1 when none was."""
        import cv2

        cv2.imshow(TITLE, image)
        key = int(cv2.waitKey(wait_ms))
        return key & 0xFF if key >= 0 else -1

    def close(self) -> None:
        """Close the window."""
        import cv2

        cv2.destroyAllWindows()
