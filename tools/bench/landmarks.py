"""LiteRT's landmarks beside MediaPipe's on the same videos: the table of docs/install.md.

python -m last_edge.tools.bench.landmarks CLIP.mp4 ...
"""

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.runtime.landmarks import By, Detector, create_landmarks
from last_edge.runtime.landmarks.litert.hands import Hand, HandTracker
from last_edge.runtime.landmarks.models import model_path
from last_edge.runtime.sources.video import VideoSource
from last_edge.tools.output import markdown

Points = NDArray[np.float32]
EVERY = 20
TO_THE_WAIST = slice(0, 17)
"""Points of a body that is seen to the waist, without its hands."""


def both(path: Path, detector: Detector, *, hand: str = "first") -> tuple[Points, Points]:
    """(T, V, 3) points of a video by MediaPipe and by LiteRT, NaN where nothing is seen."""
    theirs, ours = list[Points](), list[Points]()
    with ExitStack() as stack:
        mediapipe = stack.enter_context(closing(create_landmarks(detector, by="mediapipe", hand=hand)))
        litert = stack.enter_context(closing(create_landmarks(detector, by="litert", hand=hand)))
        for frame in stack.enter_context(VideoSource(path)):
            if frame.image is not None:
                theirs.append(mediapipe(frame.image, frame.timestamp_s))
                ours.append(litert(frame.image, frame.timestamp_s))
    return np.stack(theirs), np.stack(ours)


def itself(path: Path, detector: Detector) -> Points:
    """(T, V, 3) MediaPipe's points where the last bit of one pixel in a thousand of the first frame is flipped.

    Each frame is looked at where the one before showed hand or body, and the networks magnify what is changed there:
    how far two runs part that begin all but alike is how near any other can come.
    """
    found = list[Points]()
    with closing(create_landmarks(detector, by="mediapipe")) as mediapipe, VideoSource(path) as frames:
        for frame in frames:
            if frame.image is not None:
                image = frame.image.copy()
                if not found:
                    image.reshape(-1, image.shape[-1])[::1000] ^= 1
                found.append(mediapipe(image, frame.timestamp_s))
    return np.stack(found)


def alone(path: Path, *, every: int) -> tuple[Points, Points]:
    """As `both`, bodies in one frame of so many, each found anew: nothing of a frame before is in them."""
    found: dict[By, list[Points]] = {"mediapipe": [], "litert": []}
    with VideoSource(path) as frames:
        for frame in frames:
            if frame.image is not None and frame.index % every == 0:
                for by, points in found.items():
                    with closing(create_landmarks("pose", by=by)) as source:
                        points.append(source(frame.image, 0.0))
    return np.stack(found["mediapipe"]), np.stack(found["litert"])


def step_by_step(path: Path) -> tuple[Points, Points]:
    """As `both`, a hand by LiteRT in each frame searched where MediaPipe's points of the frame before say it is.

    What two trackers find in one step, without what they make of it over a video.
    """
    tracker = HandTracker(model_path("hand"))
    theirs, ours = list[Points](), list[Points]()
    with closing(create_landmarks("hand", by="mediapipe")) as mediapipe, VideoSource(path) as frames:
        for frame in frames:
            if frame.image is None:
                continue
            height, found = frame.image.shape[0], None
            if theirs and not np.isnan(theirs[-1]).any():
                before = Hand(theirs[-1] * height, theirs[-1], right=0.0)
                found = tracker.look(np.ascontiguousarray(frame.image[..., ::-1]), before.next_region)
            theirs.append(mediapipe(frame.image, frame.timestamp_s))
            ours.append(np.full_like(theirs[-1], np.nan) if found is None else found.points / height)
    return np.stack(theirs), np.stack(ours)


def apart(theirs: Points, ours: Points) -> NDArray[np.float32]:
    """(T, V) distance in x or y, whichever is greater, in image heights, of the frames that both see."""
    distance = np.abs(theirs[..., :2] - ours[..., :2]).max(-1)
    return np.asarray(distance[~np.isnan(distance).any(1)], np.float32)


def table(paths: list[Path]) -> str:
    """A row a video, as Markdown: of the hand a frame's worst point, of the body every point to the waist.

    Of a frame alone all points of the body, those outside the picture too.
    """
    columns: dict[str, list[Any]] = {"clip": [path.stem for path in paths]}
    for path in paths:
        hands, bodies, still = both(path, "hand"), both(path, "pose"), alone(path, every=EVERY)
        seen = [int((~np.isnan(points[:, 0, 0])).sum()) for points in hands]
        parts = {
            "hand: median of a frame's worst point, 95 %": apart(*hands).max(1),
            "hand, MediaPipe perturbed": apart(hands[0], itself(path, "hand")).max(1),
            "hand, one step, maximum": f"{apart(*step_by_step(path)).max():.4f}",
            "frames with a hand, MediaPipe / LiteRT": f"{seen[0]} / {seen[1]}",
            "body: median, 95 %": apart(*(points[:, TO_THE_WAIST] for points in bodies)),
            "body, MediaPipe perturbed": apart(
                *(points[:, TO_THE_WAIST] for points in (bodies[0], itself(path, "pose")))
            ),
            "body, single frames, maximum": f"{apart(*still).max():.4f}",
        }
        for name, part in parts.items():
            text = part if isinstance(part, str) else ", ".join(f"{x:.4f}" for x in np.quantile(part, [0.5, 0.95]))
            columns.setdefault(name, []).append(text)
    return markdown(columns)


if __name__ == "__main__":
    sys.stdout.write(table([Path(name) for name in sys.argv[1:]]) + "\n")
