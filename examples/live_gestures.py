"""Print the gestures that a camera, a video or a recording shows.

python examples/live_gestures.py                                  # the first camera
python examples/live_gestures.py last_lite_nano_shrec14 clip.mp4  # or store:FOLDER, replay:FILE.pose, synthetic

A camera and a video need landmark models: last-edge models fetch hand
"""

import sys

from last_edge import Recogniser


def main(bundle: str = "last_lite_nano_shrec14", source: str = "cam:0", limit: str = "") -> None:
    """limit: stop after so many frames."""
    model = Recogniser.open(bundle)
    print("try:", ", ".join(model.labels))
    for event in model.watch(source, limit=int(limit) if limit else None):
        print(f"{event.end_s:7.2f} s  {event.label}  {event.probability:.0%}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
