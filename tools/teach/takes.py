"""Where takes come from, cut to the span in which a hand shows, and whether they can teach anything."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.data.gates import run_gates
from last_edge.errors import InputError, UsageError
from last_edge.names import did_you_mean, is_background
from last_edge.runtime.record.journal import read_take
from last_edge.runtime.record.target import AXES
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.extract.plan import Settings, plan_jobs
from last_edge.tools.extract.run import extract_all

MUST_HOLD = ("length", "zero clips", "coordinates")
"""Gates of `data info --gates` without which nothing is taught."""
LEAST_TAKES, ENOUGH_TAKES, LEAST_FRAMES = 3, 8, 5
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Taken:
    """What came in. counts: takes by label and person. left_out: what shows no hand for long enough, and why.
    warnings: what the takes lack.
    """

    clips: int
    counts: dict[str, dict[str, int]]
    left_out: dict[str, str]
    warnings: list[str]


def from_videos(
    videos: Path, work: Path, *, layout: str, folders: str, labels: Iterable[str], processes: int, progress: Progress
) -> Iterator[SkeletonClip]:
    """Takes of a folder of videos, `LABEL/FILE` or as `folders` says; landmarks are found once and kept in `work`."""
    wanted = set(labels)
    jobs = [job for job in plan_jobs(videos, work.absolute(), Settings(layout), folders=folders) if job.label]
    jobs = [dataclasses.replace(job, split="") for job in jobs if not wanted or job.label in wanted]
    if not jobs:
        expected = f"folders named {', '.join(sorted(wanted))}" if wanted else "LABEL/FILE.mp4"
        raise InputError("no video of these gestures", where=videos, expected=expected)
    store = work / "store"
    extract_all(
        jobs, work, name="", processes=processes, store=store, dataset="videos",
        progress=lambda done, of: progress(f"{done} of {of} videos"),
    )  # fmt: skip
    yield from from_store(store)


def from_store(path: Path) -> Iterator[SkeletonClip]:
    """Every labelled clip of a store."""
    store = ClipStore.open(path)
    for number in np.flatnonzero(store.index.label >= 0).tolist():
        yield store.clip(number)


def from_takes(folder: Path) -> Iterator[SkeletonClip]:
    """Takes as files: `.npz` as `record` keeps them, `.json` as the page saves them.

    A JSON file holds `layout`, `units` and `takes`, each with `label`, `fps`, `frames` (T, V, C; null where missing)
    and perhaps `subject`.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".npz", ".json")) if folder.is_dir() else []
    if not found:
        raise InputError("no takes here", where=folder, expected=".npz of `record`, .json of the page")
    for path in found:
        if path.suffix == ".npz":
            yield read_take(path)
        else:
            yield from _of_page(path)


def _of_page(path: Path) -> Iterator[SkeletonClip]:
    try:
        content = records.parse_json(path.read_bytes(), where=path)
        layout, units = get_layout(str(content["layout"])), content["units"]
        if units not in AXES:
            raise InputError("takes in unknown units", where=path, expected=" or ".join(AXES), got=units)
        for number, take in enumerate(content["takes"]):
            points = np.array(take["frames"], np.float32)
            yield SkeletonClip.from_points(
                points[None] if points.ndim == 3 else points, layout=layout, fps=float(take["fps"]), units=units,
                label=str(take["label"]), subject=str(take.get("subject", "")), source_id=f"{path.stem}/{number:03d}",
            )  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        expected = '{"layout", "units", "takes": [{"label", "fps", "frames"}]}'
        raise InputError("not a file of takes", where=path, expected=expected, got=error) from error


def hand_span(points: NDArray[np.float32], joints: tuple[int, ...]) -> tuple[int, int] | None:
    """First and last frame of (M, T, V, C) points that show a hand, of which `joints` are; None where none does."""
    frames = np.flatnonzero(~np.isnan(points[:, :, list(joints), 0]).all(axis=(0, 2)))
    return (int(frames[0]), int(frames[-1])) if len(frames) else None


def trimmed(clip: SkeletonClip) -> SkeletonClip | None:
    """The clip from the first frame that shows a hand to the last; None where that is shorter than five frames."""
    span = hand_span(clip.coords, clip.layout.hands)
    if span is None or span[1] - span[0] + 1 < LEAST_FRAMES:
        return None
    rows = slice(span[0], span[1] + 1)
    return dataclasses.replace(clip, coords=clip.coords[:, rows], confidence=clip.confidence[:, rows])


def gather(clips: Iterable[SkeletonClip], out: Path, *, labels: tuple[str, ...], about: dict[str, Any]) -> Taken:
    """Write the takes of some labels (all where none is named) as a store, trimmed, each with an id of its own.

    Raises `InputError` where a named label has no take, or too few to be measured, and where there is nothing to tell
    apart.
    """
    kept: list[SkeletonClip] = []
    left_out: dict[str, str] = {}
    met: Counter[str] = Counter()
    for clip in clips:
        if clip.label is None or (labels and clip.label not in labels):
            continue
        met[clip.label] += 1
        name = clip.source_id or f"{clip.label}/{met[clip.label]:03d}"
        short = trimmed(clip)
        if short is None:
            left_out[name] = "no hand in view"
        else:
            kept.append(dataclasses.replace(short, source_id=name, split="train"))
    if absent := [name for name in labels if name not in met]:
        raise InputError("no take of this gesture", where=out.parent, got=", ".join(absent),
                         expected=did_you_mean(absent[0], met))  # fmt: skip
    names = tuple(dict.fromkeys([*labels, *sorted(met)]))
    check_enough(kept, names, where=out.parent, left_out=left_out)
    first = kept[0]
    with writing_store(out, layout=first.layout, units=first.units, labels=names, about=about, force=True) as writer:
        for clip in kept:
            writer.add(clip)
    return check(ClipStore.open(out), left_out)


def check_enough(clips: list[SkeletonClip], labels: tuple[str, ...], *, where: Path, left_out: dict[str, str]) -> None:
    """`InputError` where a gesture has too few takes to hold some out, or there is only one."""
    count = Counter(clip.label for clip in clips)
    few = [f"{name} {count[name]}" for name in labels if count[name] < LEAST_TAKES]
    if few:
        lost = f"; {len(left_out)} more show no hand" if left_out else ""
        raise InputError(f"too few takes; each gesture needs {LEAST_TAKES}, better 10", where=where,
                         got=", ".join(few) + lost)  # fmt: skip
    if len([name for name in labels if not is_background(name)]) < 2:
        raise UsageError("one gesture alone cannot be told from another", got=", ".join(labels),
                         hint="name two or more, or a gesture and nothing")  # fmt: skip


def check(store: ClipStore, left_out: dict[str, str]) -> Taken:
    """Counts and warnings; `GateError`s of what no training could use are raised as `InputError`."""
    gates = run_gates(store)
    broken = [gate for gate in gates if gate.name in MUST_HOLD and gate.passed is False]
    if broken:
        got = "; ".join(f"{gate.name}: {gate.found} {' '.join(gate.clips)}".strip() for gate in broken)
        raise InputError("these takes cannot be learnt", where=store.path, expected=broken[0].rule, got=got)
    counts: dict[str, dict[str, int]] = {label: {} for label in store.labels}
    for label, subject in zip(store.index.label.tolist(), store.index.subject.astype(str).tolist(), strict=True):
        own = counts[store.labels[label]]
        own[subject] = own.get(subject, 0) + 1
    warnings = [
        f"{label}: {sum(own.values())} takes; ten teach more" for label, own in counts.items()
        if sum(own.values()) < ENOUGH_TAKES
    ]  # fmt: skip
    same = next(gate for gate in gates if gate.name == "equal clips")
    if same.passed is False:
        warnings.append(f"the same take twice: {', '.join(same.clips)}")
    if left_out:
        warnings.append(f"{len(left_out)} takes show no hand for {LEAST_FRAMES} frames and are left out")
    return Taken(len(store), counts, left_out, warnings)
