"""`last-edge eval BUNDLE --stream`: how a bundle does on long recordings, with idle and unknown motions in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from last_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from last_edge.clips.store import ClipStore

Stream = Annotated[
    bool,
    typer.Option(
        "--stream", help="Score events on long recordings composed of each person's clips, with idle between."
    ),
]
Gestures = Annotated[int, typer.Option("--gestures", min=1, help="With --stream: clips to play, drawn at random.")]
Unknown = Annotated[
    list[str] | None,
    typer.Option("--unknown", help="With --stream: a class played as an unknown motion; repeatable."),
]
Decode = Annotated[
    Literal["sliding", "segments"],
    typer.Option(
        "--decode", help="sliding: windows over the last seconds. segments: motions cut where the body rests."
    ),
]
Reject = Annotated[
    bool, typer.Option("--reject/--no-reject", help="Refuse what the bundle's energy threshold calls unknown.")
]
RestSeconds = Annotated[
    float, typer.Option("--rest-seconds", min=0.0, help="With --decode segments: stillness that ends a motion.")
]
People = Annotated[
    list[str] | None, typer.Option("--subject", help="With --stream: only these people of the split; repeatable.")
]
StreamSeed = Annotated[int, typer.Option("--seed", min=0, help="With --stream: draws clips, idle and made motions.")]


def evaluate(
    bundle: Path,
    store: ClipStore,
    *,
    split: str,
    precision: Literal["fp32", "int8"] | None,
    threads: int | None,
    gestures: int,
    unknown: list[str],
    decode: Literal["sliding", "segments"],
    reject: bool,
    rest_seconds: float,
    subjects: list[str],
    seed: int,
) -> dict[str, Any]:
    """The streams' score, and how it was taken."""
    from last_edge.clips.compose import ComposeOptions, compose
    from last_edge.clips.windows import check_points, labelled_clips
    from last_edge.runtime.recognise.segmenter import SegmentOptions
    from last_edge.runtime.recognise.stream import RecogniseOptions
    from last_edge.runtime.recognise.stream_eval import evaluate_streams
    from last_edge.runtime.recogniser import Recogniser

    model = Recogniser.open(bundle, precision=precision or "fp32", threads=threads)
    check_points(store, model.spec)
    clips = _of_people(store, labelled_clips(store, split), subjects)
    streams = compose(store, clips, count=gestures, seed=seed, options=ComposeOptions(unknown=tuple(unknown)))
    options = RecogniseOptions(decode=decode, reject=reject, segments=SegmentOptions(rest_s=rest_seconds))
    score = evaluate_streams(model, streams, layout=store.layout, units=store.units, options=options, unknown=unknown)
    how = {"split": split, "precision": model.precision, "decode": decode, "reject": reject, "seed": seed,
           "rest_seconds": rest_seconds, "subjects": subjects}  # fmt: skip
    return {**how, "unknown_classes": unknown, "store_sha256": store.sha256, **score}


def _of_people(store: ClipStore, clips: NDArray[np.int64], subjects: list[str]) -> NDArray[np.int64]:
    """The clips of some people, of all where none is named; `UsageError` for one without a clip among them."""
    people = store.index.subject[clips].astype(str)
    if strange := set(subjects) - set(people.tolist()):
        known = ", ".join(sorted(set(people.tolist())))
        raise UsageError("nobody of this name in the split", got=", ".join(sorted(strange)), expected=known)
    return clips[[not subjects or person in subjects for person in people.tolist()]]


def table(score: dict[str, Any]) -> Table:
    """All people, then each."""
    from last_edge.tools.cli.output import make_table

    rows = {"all": score, **score["by_subject"]}
    names = ("minutes", "gestures", "unknown", "detection_rate", "false_per_minute", "wrong", "repeated", "in_unknown",
             "in_idle", "delay_p50_s", "delay_p95_s")  # fmt: skip
    columns: dict[str, list[Any]] = {"person": list(rows)}
    for name in names:
        columns[name] = ["" if row[name] is None else row[name] for row in rows.values()]
    return make_table(f"stream of {score['split']}, {score['precision']}, {score['decode']}", columns)
