"""What a run is asked for, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.landmarks import By, Detector
from last_edge.runtime.pipeline.pipeline import StageTiming
from last_edge.runtime.pipeline.watch import Pace
from last_edge.runtime.recognise.model import Precision
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.sources import ImageOptions
from last_edge.skeleton.people import Person


@dataclass(frozen=True)
class RunOptions:
    """What a run does besides recognising.

    events: file for one JSON object a line. save: annotated video. snapshot: picture of the surest frame.
    window: show the frames. keep: folder of what its keys s and c save. limit: stop after that many of the source.
    pace: `fast` works on every frame of a file; `real` plays it at its own rate and drops what comes too fast, as a
    live source always does. loop: play what has an end again and again.
    precision: None takes INT8 where the bundle has it. detector: None takes the one that feeds the bundle's layout.
    hand: which hand a hand detector follows. person: who is followed of several people in view. landmarks_by: the
    library that finds points in images; every: in one of so many. max_age_s: live, frames older than this are dropped
    where a newer one waits. threads: of the model; None for what `bench tune` found fastest, else 1. backend: what runs
    it. force: replace existing files. images: how a source's images are turned and timed.
    """

    events: Path | None = None
    save: Path | None = None
    snapshot: Path | None = None
    window: bool = False
    keep: Path = Path()
    limit: int | None = None
    pace: Pace = "fast"
    loop: bool = False
    precision: Precision | None = None
    detector: Detector | None = None
    hand: str = "first"
    person: Person = "largest"
    landmarks_by: By = "auto"
    every: int = 1
    max_age_s: float | None = None
    threads: int | None = None
    backend: str = OnnxRuntimeCpu.name
    force: bool = False
    images: ImageOptions = field(default_factory=ImageOptions)
    recognise: RecogniseOptions = field(default_factory=RecogniseOptions)


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    frames: through every stage; captured: taken of the source; dropped: ahead of each stage, to keep up with a live
    source. queues: most frames that ever waited ahead of each stage. announced_frames: what the file's header says,
    None when it says nothing. pace: `live`, `real` or `fast`.
    frames_with_points: those that showed any point the bundle uses. layout, units: of `landmarks` in the event file.
    clips, clips_right: recordings predicted as a whole, and those of known class predicted right (None without any).
    timings_ms: percentiles of each stage, milliseconds a frame. notices: what the source or a stage had to say.
    lost: why a live source ended by itself. stopped: by the user before the end.
    """

    bundle: str
    model: str
    precision: str
    backend: str
    source: str
    pace: str
    detector: str
    layout: str
    units: str
    frames: int
    captured: int
    dropped: dict[str, int]
    queues: dict[str, int]
    announced_frames: int | None
    frames_with_points: int
    predictions: int
    events: int
    clips: int
    clips_right: int | None
    seconds: float
    timings_ms: dict[str, StageTiming]
    notices: list[str] = field(default_factory=list)
    lost: str = ""
    stopped: bool = False
    schema_version: int = 1
