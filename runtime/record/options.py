"""What a recording session is asked for and what it did; how many clips a store holds of each label, by person."""

from dataclasses import dataclass, field
from pathlib import Path

from last_edge.clips import ClipStore
from last_edge.errors import UsageError
from last_edge.runtime.landmarks import By, Detector
from last_edge.runtime.sources import ImageOptions
from last_edge.skeleton.people import Person

Counts = dict[str, dict[str, int]]
SPLITS = ("train", "val", "test")
LEAST_SEEN = 0.5


def counts_of(store: ClipStore) -> Counts:
    """Clips by label and subject; unlabelled ones under ""."""
    counts: Counts = {label: {} for label in store.labels}
    for label, subject in zip(store.index.label.tolist(), store.index.subject.tolist(), strict=True):
        own = counts.setdefault(store.labels[label] if label >= 0 else "", {})
        own[subject] = own.get(subject, 0) + 1
    return counts


def last_of(store: ClipStore, label: str, subject: str, *, count: int) -> list[int]:
    """Numbers of the newest clips of a label and subject, at most `count`."""
    if label not in store.labels or count == 0:
        return []
    index = store.index
    own = (index.label == store.labels.index(label)) & (index.subject.astype(str) == subject)
    return [number for number, chosen in enumerate(own.tolist()) if chosen][-count:]


@dataclass(frozen=True)
class RecordOptions:
    """What is recorded, of whom and how.

    labels: what is signed, one after the other. seconds: of a take; None for 2.5 of a live source and whole recordings
    of others. countdown_s: before each; None for 3 and 0. count: takes of each label; None for 10 and all.
    least_seen: share of a take's frames, from the first that shows a hand to the last, that must show it; gaps of up to
    half a second count as shown. retake: clips of each label and subject, the
    newest, that leave the store when those of this session enter it.
    bundle: record what this bundle takes, to fine-tune it; None keeps the detector's or the source's own points.
    images: how a source's images are turned and timed. every: points are found in one of so many. person: who is
    followed of several people in view.
    """

    labels: tuple[str, ...]
    subject: str = "me"
    split: str = "train"
    seconds: float | None = None
    countdown_s: float | None = None
    count: int | None = None
    least_seen: float = LEAST_SEEN
    retake: int = 0
    bundle: Path | None = None
    detector: Detector | None = None
    hand: str = "first"
    person: Person = "largest"
    landmarks_by: By = "auto"
    every: int = 1
    detect_every: int = 1
    window: bool = False
    images: ImageOptions = field(default_factory=ImageOptions)

    def __post_init__(self) -> None:
        if not self.labels or not all(self.labels) or not self.subject or self.split not in SPLITS:
            raise UsageError("what is recorded, of whom?", expected="labels, a subject, split train, val or test",
                             got=f"{self.labels}, {self.subject!r}, {self.split!r}", hint="--label NAME")  # fmt: skip
        if len(set(self.labels)) < len(self.labels):
            raise UsageError("a label is named twice", got=", ".join(self.labels), hint="--count says how many takes")


@dataclass(frozen=True)
class RecordSummary:
    """What a session did. kept: takes by label. refused: takes that showed too little. removed: older clips taken out.
    counts: clips of the whole store by label and subject. stopped: by the user before all were taken. gave_up: why it
    ended by itself before that, "" where it did not.
    """

    store: str
    source: str
    layout: str
    units: str
    kept: dict[str, int]
    refused: int
    removed: int
    clips: int
    counts: Counts
    sha256: str
    notices: list[str] = field(default_factory=list)
    lost: str = ""
    stopped: bool = False
    gave_up: str = ""
    schema_version: int = 1
