"""What a run did, as its last word."""

from __future__ import annotations

from dataclasses import dataclass, field

from last_edge.runtime.pipeline.timings import StageTiming


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
