"""README's moving picture: the live view on a bundle's own samples, which no person made.

`python -m last_edge.tools.site.live_view docs/images/live.webp` writes it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
from PIL import Image

from last_edge.files import writing

BUNDLE = "last_lite_nano_live14"
FRAMES = 420
STEP = 3
SIZE = (640, 360)


def animate(out: Path) -> None:
    """Run the bundle on its samples and write every `STEP`th frame as an animated WebP, at the speed of the samples."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "live.mp4")
        words = ["run", BUNDLE, "--source", "samples", "--limit", str(FRAMES), "--no-window", "--save", str(video)]
        subprocess.run([sys.executable, "-m", "last_edge.tools.cli", *words, "--quiet"], check=True)
        capture, frames, seconds = cv2.VideoCapture(str(video)), [], 0.0
        rate = capture.get(cv2.CAP_PROP_FPS)
        for number in range(FRAMES):
            read, frame = capture.read()
            if not read:
                break
            seconds = number / rate
            if number % STEP == 0:
                small = cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)
                frames.append(Image.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)))
        capture.release()
    length = round(1000 * seconds / len(frames))
    with writing(out) as file:
        frames[0].save(file, format="webp", save_all=True, append_images=frames[1:], duration=length, quality=40)


if __name__ == "__main__":
    animate(Path(sys.argv[1]))
