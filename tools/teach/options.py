"""What a teaching is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from last_edge.errors import UsageError

LAYOUTS = {"hand": "mediapipe_hand21", "holistic": "mediapipe_holistic75", "pose": "mediapipe_pose33"}


@dataclass(frozen=True)
class TeachOptions:
    """Where takes come from and how they are learnt.

    videos: a folder `LABEL/FILE`, or of the levels that `folders` names. takes: a folder of takes, `.npz` of `record`
    or `.json` of the page. store: a clip store. Without any of the three `source`, a camera, is recorded, `count` takes
    of each gesture by `subject`. detector: what finds landmarks, `hand`, `pose` or `holistic`, hands and body.
    hand: which hand is shown, where it is known. base: a bundle to start from; "" finds the zoo's for such points,
    `none` starts from nothing. epochs: None sets them by the number of clips. workers: trainings at a time, 0 for one a
    processor core. licence: of the takes.
    """

    videos: str = ""
    folders: str = ""
    takes: str = ""
    store: str = ""
    source: str = "cam:0"
    subject: str = "me"
    count: int = 10
    detector: str = "hand"
    hand: str = "first"
    base: str = ""
    epochs: int | None = None
    workers: int = 0
    seed: int = 42
    licence: str = "of who recorded it"

    def __post_init__(self) -> None:
        given = [name for name in ("videos", "takes", "store") if getattr(self, name)]
        if len(given) > 1:
            raise UsageError("takes come from one place", got=", ".join(f"--{name}" for name in given),
                             hint="last-edge data prepare --help; one store of all, then --store")  # fmt: skip
        if self.detector not in LAYOUTS:
            raise UsageError("no such detector", expected=", ".join(LAYOUTS), got=self.detector)
