"""MediaPipe's hand and pose networks run by LiteRT, with numpy and OpenCV alone: for boards without MediaPipe."""

from last_edge.runtime.landmarks.litert.sources import LiteRTHands, LiteRTHolistic, LiteRTPose

__all__ = ["LiteRTHands", "LiteRTHolistic", "LiteRTPose"]
