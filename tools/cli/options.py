"""Options that mean the same in every command, and what is shown of a command's work."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from typer import Argument, Option

from last_edge.errors import GateError, UsageError
from last_edge.files import check_free
from last_edge.tools import output
from last_edge.tools.register import OptionGroup, Settings

if TYPE_CHECKING:
    from last_edge.clips.store import ClipStore
    from last_edge.runtime.sources.base import Turn


def remember(context: typer.Context, value: bool) -> bool:
    """Keep `--verbose` for the end of the command line, where errors are shown."""
    context.ensure_object(Settings).verbose |= value
    return value


def in_zoo(given: Any) -> Any:
    """The paths of bundles that were named, by path or by name in the zoo; None where none was."""
    from last_edge.bundle.zoo import find_bundle

    if isinstance(given, list):
        return [find_bundle(path, inside=False) for path in given]
    return None if given is None else find_bundle(given, inside=False)


def bundle_in(given: Path) -> Path:
    """As `in_zoo` of one bundle; a run or teaching stands for the bundle in it."""
    from last_edge.bundle.zoo import find_bundle

    return find_bundle(given)


Precision = Literal["fp32", "int8"]
RunPrecision = Literal["fp32", "fp16", "int8"]
Detector = Literal["auto", "hand", "hand_lite", "pose", "pose_lite", "pose_heavy", "holistic"]

BundlePath = Annotated[
    Path, Argument(metavar="BUNDLE", callback=bundle_in, help="A bundle folder, .last file or name of the zoo.")
]
Out = Annotated[Path, Option("--out", help="Where the result goes.")]
OutFile = Annotated[Path | None, Option("--out", help="Also write the result to this file.")]
OutFiles = Annotated[list[Path] | None, Option("--out", help="Records (.json) or a page (.md); repeatable.")]
Join = Annotated[list[Path] | None, Option("--join", help="Records (.json) of earlier calls to show too; repeatable.")]
StoreArgument = Annotated[Path, Argument(metavar="STORE", help="A clip store.")]
Store = Annotated[Path, Option("--store", help="A clip store, made by `last-edge data`.")]
MeasureOn = Annotated[Path | None, Option("--store", help="A clip store to measure on.")]
Split = Annotated[str, Option("--split", help="Split to measure on: train, val or test.")]
MergeAt = Annotated[str, Option("--merge-at", help="Also score classes alike before the last such text, as ', '.")]
Device = Annotated[str, Option("--device", help="auto, cpu, cuda or mps.")]
Threads = Annotated[int, Option("--threads", min=0, help="Processor threads; 0 leaves it to the library.")]
OwnThreads = Annotated[
    int | None, Option("--threads", min=0, help="Processor threads, 0: the library's. Default: the bundle's, else 1.")
]
Graph = Annotated[
    RunPrecision | None,
    Option("--precision", help="Default: int8 where the bundle has it for the backend. fp16: a TensorRT engine."),
]
Precisions = Annotated[list[str] | None, Option("--precision", help="fp32 or int8; repeatable. Default: all.")]
Repeats = Annotated[int, Option("--repeats", min=1, help="Rounds; what is compared takes turns in each.")]
Seed = Annotated[int, Option("--seed", min=0, help="Seed of everything that is drawn.")]
Seeds = Annotated[
    str | None, Option("--seeds", metavar="0,1,2", help="One training for each. Default: the recipe's or plan's.")
]
RecipeName = Annotated[str | None, Option("--recipe", help="A shipped recipe (`last-edge recipes ls`) or a file.")]
Set = Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change a recipe value; repeatable.")]
More = Annotated[list[str] | None, Argument(metavar="KEY=VALUE", help="Further values for --set.")]
DryRun = Annotated[bool, Option("--dry-run", help="Say what would be done; write nothing.")]
Force = Annotated[bool, Option("--force", help="Replace what is there.")]
SourceName = Annotated[
    str,
    Option(
        "--source",
        help="FILE.mp4, FOLDER of images, cam:0, cam:0,1280x720,30, csi:0, rtsp://…, http://…, replay:FILE.pose, "
        "store:FOLDER, store:FOLDER#CLIP, samples (typical motions that the bundle has with it) or synthetic.",
    ),
]
Flip = Annotated[bool, Option("--flip", help="Exchange left and right, for a camera that mirrors.")]
Rotate = Annotated[Literal["0", "90", "180", "270"], Option("--rotate", help="Turn images clockwise, degrees.")]
Fps = Annotated[float | None, Option("--fps", help="Frame rate of images or a video, or requested from a camera.")]
Landmarks = Annotated[Detector, Option("--landmarks", help="Detector; auto takes what the bundle needs.")]
LandmarksBy = Annotated[
    Literal["auto", "mediapipe", "litert"],
    Option("--landmarks-by", help="Library that finds landmarks; auto: MediaPipe where it is, else LiteRT."),
]
LandmarksEvery = Annotated[
    int, Option("--landmarks-every", min=1, max=10, help="Find landmarks in every Nth image only, for slow boards.")
]
DetectEvery = Annotated[
    int,
    Option(
        "--detect-every", min=1, max=100,
        help="Look for further hands in every Nth image only while one is followed, for slow boards: LiteRT, with "
        "--hand left or right or --landmarks holistic.",
    ),
]  # fmt: skip
Hand = Annotated[
    Literal["first", "left", "right"],
    Option(
        "--hand",
        help="Hand to follow, or of a recording; left and right are the person's own. A hand that the "
        "bundle was not trained on is mirrored.",
    ),
]
PersonName = Annotated[
    Literal["largest", "left", "right", "centre"],
    Option(
        "--person",
        help="Who is followed of several people in view: by size, or by place in the picture. A bundle of two people "
        "takes both.",
    ),
]
Decode = Annotated[
    Literal["sliding", "segments", "spans"],
    Option(
        "--decode",
        help="sliding: windows over the last seconds. segments: motions cut where the body rests. spans: windows, one "
        "event from when a gesture is shown until it no longer is.",
    ),
]
Reject = Annotated[
    bool, Option("--reject/--no-reject", help="Reject unknown motions by the bundle's energy threshold.")
]
Early = Annotated[
    bool,
    Option(
        "--early", help="A bundle that answers at every frame: tell a gesture once its label is sure, not at its end."
    ),
]
FalsePerHour = Annotated[
    float | None,
    Option(
        "--false-alarms-per-hour", min=0.0,
        help="Most false events an hour, by the bundle's curve. Default: the bundle's operating point.",
    ),
]  # fmt: skip
RestSeconds = Annotated[float, Option("--rest-seconds", min=0.0, help="Segments: stillness that ends a motion.")]


Send = Annotated[
    list[str] | None,
    Option(
        "--send", metavar="URL", help="Send events to mqtt://HOST/TOPIC, osc://HOST:PORT, ws://, http://; repeatable."
    ),
]
On = Annotated[
    list[str] | None,
    Option("--on", metavar="LABEL=COMMAND", help="Start a program for a label's events, * for all; repeatable."),
]


@dataclass(frozen=True)
class Seeing(OptionGroup):
    """How points are found in a source's images, and whose: the same for a run and for a recording."""

    landmarks: Landmarks = "auto"
    landmarks_by: LandmarksBy = "auto"
    landmarks_every: LandmarksEvery = 1
    detect_every: DetectEvery = 1
    hand: Hand = "first"
    person: PersonName = "largest"
    flip: Flip = False
    rotate: Rotate = "0"
    fps: Fps = None

    def chosen(self) -> dict[str, Any]:
        """The fields of these names of `RunOptions` and `RecordOptions`."""
        from last_edge.runtime.sources import ImageOptions

        return {
            "detector": None if self.landmarks == "auto" else self.landmarks, "landmarks_by": self.landmarks_by,
            "every": self.landmarks_every, "detect_every": self.detect_every, "hand": self.hand, "person": self.person,
            "images": ImageOptions(self.flip, turn_of(self.rotate), self.fps),
        }  # fmt: skip


@dataclass(frozen=True)
class Screen(OptionGroup):
    """What a command shows: the result on stdout, progress and notes on stderr."""

    json: Annotated[bool, Option("--json", help="One JSON value on stdout, nothing else.")] = False
    quiet: Annotated[bool, Option("--quiet", help="No progress.")] = False
    verbose: Annotated[bool, Option("--verbose", help="Show where an error comes from.", callback=remember)] = False

    def emit(self, result: Any, *, table: Callable[[], Any] | None = None) -> None:
        """Print the result: JSON for programs, a table (or `key: value` lines) for people."""
        output.emit(result, as_json=self.json, table=table)

    def rows(self, rows: Sequence[dict[str, Any]], *, title: str) -> None:
        """Print rows as a table, or as `{"rows": […]}`."""
        self.emit({"rows": list(rows)}, table=lambda: output.rows_table(title, rows))

    def note(self, text: str) -> None:
        """A line on stderr."""
        if not self.quiet:
            output.stderr().print(text, highlight=False)

    @contextmanager
    def status(self, text: str) -> Iterator[Callable[[str], None]]:
        """A line on stderr that says what is being done; yields the function that changes it."""
        if self.silent:
            yield lambda text: None
            return
        with output.stderr().status(text) as status:
            yield status.update

    @contextmanager
    def clips(self) -> Iterator[Callable[[int], None]]:
        """A counter of clips."""
        with self.status("reading") as tell:
            yield lambda clips: tell(f"{clips} clips") if clips % 50 == 0 else None

    def epochs(self, title: str) -> AbstractContextManager[Callable[[dict[str, float], int], None]]:
        """A bar over the epochs of a training, shown by the first of several processes."""
        from last_edge.train.processes import is_first

        return output.epoch_progress(title, quiet=self.silent or not is_first())

    def cells(self) -> AbstractContextManager[Callable[[str], Callable[[dict[str, float], int], None]]]:
        """One bar for many trainings."""
        return output.cell_progress(quiet=self.silent)

    @property
    def silent(self) -> bool:
        """Whether progress would disturb."""
        return self.quiet or self.json


SCREEN = Screen()
SEEING = Seeing()


def names_of(text: str | None) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def turn_of(degrees: str) -> Turn:
    """`--rotate` as a number."""
    return cast("Turn", int(degrees))


def seeds_of(text: str | None) -> tuple[int, ...]:
    """The numbers of `--seeds 0,1,2`; `UsageError` unless each is whole and stands there once."""
    found = tuple(int(part) if part.strip().isdecimal() else -1 for part in text.split(",")) if text else ()
    if any(seed < 0 for seed in found) or len(set(found)) != len(found):
        raise UsageError("--seeds needs whole numbers, each once", got=text, hint="--seeds 0,1,2")
    return found


def open_store(path: Path | None) -> ClipStore | None:
    """The clip store, where one is named."""
    from last_edge.clips.store import ClipStore

    return None if path is None else ClipStore.open(path)


def torch_threads(threads: int) -> None:
    """Let torch use so many processor threads; 0 leaves it to the library."""
    if threads:
        import torch

        torch.set_num_threads(threads)


def check_out(*paths: Path | None, force: bool, kinds: Sequence[str] = ()) -> None:
    """`UsageError` where a file is there already, or its ending is none of `kinds`."""
    for path in paths:
        if path is not None:
            if kinds and path.suffix not in kinds:
                raise UsageError("this is not written to such a file", where=path, expected=" or ".join(kinds))
            check_free(path, force=force)


def check_limit(problem: str, values: dict[str, float], most: float | None, unit: str, *, what: str = "") -> None:
    """`GateError` (exit code 4) with the values above the limit, each by its name."""
    above = [f"{name} {value} {unit}".strip() for name, value in values.items() if most is not None and value > most]
    if above:
        raise GateError(problem, expected=f"{what} <= {most} {unit}".strip(), got=", ".join(above))


def command_line(name: str) -> str:
    """What was typed, as one can type it again; nothing where it was not `last-edge NAME`."""
    return shlex.join(["last-edge", *sys.argv[1:]]) if sys.argv[1:2] == [name] else ""
