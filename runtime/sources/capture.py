"""Opening an OpenCV capture, without OpenCV's warnings on the terminal."""

from __future__ import annotations

from typing import Any

from last_edge.errors import MissingError

NETWORK_TIMEOUT_MS = 5000


def open_capture(target: str | int) -> Any | None:
    """An open `cv2.VideoCapture` of a file, an address or a camera number; None when it does not open.

    An address that does not answer within five seconds does not open, or ends.
    """
    try:
        import cv2
    except ImportError as error:
        hint = "pip install 'last-edge[runtime]'; a slim system also needs libgl1 and libglib2.0-0"
        raise MissingError("OpenCV cannot be loaded", got=error, hint=hint) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if isinstance(target, str) and "://" in target:
        waits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        capture = cv2.VideoCapture(
            target, cv2.CAP_FFMPEG, [part for name in waits for part in (name, NETWORK_TIMEOUT_MS)]
        )
    else:
        capture = cv2.VideoCapture(target)
    return capture if capture.isOpened() else None
