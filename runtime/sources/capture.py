"""Opening an OpenCV capture, without OpenCV's warnings on the terminal."""

from __future__ import annotations

from typing import Any

from last_edge.errors import MissingError


def open_capture(target: str | int) -> Any | None:
    """An open `cv2.VideoCapture` of a file or a camera number; None when it does not open."""
    try:
        import cv2
    except ImportError as error:
        hint = "pip install 'last-edge[runtime]'; a slim system also needs libgl1 and libglib2.0-0"
        raise MissingError("OpenCV cannot be loaded", got=error, hint=hint) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(target)
    return capture if capture.isOpened() else None
