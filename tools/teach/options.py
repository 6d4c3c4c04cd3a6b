"""What a teaching is asked for, and what it has done so far."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.errors import InputError, UsageError
from last_edge.files import write_text

LAYOUTS = {"hand": "mediapipe_hand21", "holistic": "mediapipe_holistic75", "pose": "mediapipe_pose33"}
FILE = "teach.json"


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


class State:
    """Options of the last call, and by step what it depended on and gave: a second call goes on where it stopped.

    It is `teach.json` in the teaching's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        content = records.read_json(self.path) if self.path.is_file() else {"options": {}, "done": {}}
        if not isinstance(content, dict) or not {"options", "done"} <= content.keys():
            raise InputError("not the state of a teaching", where=self.path, hint=f"rm {self.path}")
        self.options: dict[str, Any] = content["options"]
        self._done: dict[str, dict[str, Any]] = content["done"]

    def result(self, step: str, key: str) -> Any:
        """What a step gave for this very key; None where it is still to be done."""
        done = self._done.get(step, {})
        return done.get("result") if done.get("key") == key else None

    def once(self, step: str, key: str, there: Path, make: Callable[[], Any]) -> tuple[Any, bool]:
        """What a step gives, made now or before, and whether it was made now. there: what it leaves behind."""
        before = self.result(step, key)
        if before is not None and there.exists():
            return before, False
        result = json.loads(json.dumps(make()))
        self._done[step] = {"key": key, "result": result}
        self.save()
        return result, True

    def save(self) -> None:
        """Write the file."""
        write_text(self.path, records.canonical({"options": self.options, "done": self._done}))
