"""`last-edge data extract`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from last_edge.tools.cli.options import DryRun, Force, Json, Out, Quiet, Verbose
from last_edge.tools.cli.output import emit, stderr

if TYPE_CHECKING:
    from last_edge.tools.extract.plan import Job

SHOWN = 5


def extract(
    videos: Annotated[Path, typer.Argument(help="Folder of videos; each one's folder is its label.")],
    out: Out,
    index: Annotated[
        Path | None, typer.Option(help="nslt_*.json: only its recordings, with their signs, frames and splits.")
    ] = None,
    layout: Annotated[
        str, typer.Option(help="mediapipe_holistic75 or 83, mediapipe_pose33, mediapipe_hand21.")
    ] = "mediapipe_holistic75",
    vision: Annotated[
        Path | None, typer.Option(help="Folder of a vision model of transformers, for features as well.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of features a clip, of frames evenly spread over it.")] = 16,
    name: Annotated[str, typer.Option(help="What the features are called.")] = "visual",
    jobs: Annotated[int, typer.Option(min=0, help="Processes on this machine; 0 for one a processor.")] = 0,
    dask: Annotated[
        str, typer.Option(metavar="ADDRESS", help="A Dask scheduler, tcp://HOST:8786, in their place.")
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Take landmarks, and with --vision features, out of videos; OUT/store is a store like any other.

    What is done lies in OUT/clips and is skipped next time, until its video or the settings change; --force does all
    anew. Videos that cannot be read are named at the end and in OUT/broken.json; the others go on. Nothing is
    downloaded: `last-edge models fetch holistic` brings the detector, --vision names a folder with model.safetensors.

    The workers of a Dask cluster need this package and see VIDEOS and OUT under the same names.

    Example: last-edge data extract wlasl/videos --index nslt_100.json --vision models/siglip --out runs/nslt100
    """
    from last_edge import records
    from last_edge.tools.extract.plan import Settings, plan_jobs
    from last_edge.tools.extract.run import extract_all

    settings = Settings(layout, str(vision or ""), rows)
    planned = plan_jobs(videos, out.absolute(), settings, index=index)
    if dry_run:
        emit(_preview(planned), as_json=as_json)
        return
    console = stderr()
    console.quiet = quiet or as_json
    with console.status("reading videos") as status:
        found = extract_all(
            planned, out, name=name, index=index, processes=jobs or os.cpu_count() or 1, dask=dask, force=force,
            progress=lambda done, all_jobs: status.update(f"{done} of {all_jobs} videos"),
        )  # fmt: skip
    if as_json:
        emit(records.to_dict(found), as_json=True)
        return
    typer.echo(f"{found.store.store}: {found.store.clips} clips; {found.made} made, {found.before} there before")
    if found.broken:
        shown = "; ".join(f"{video}: {why}" for video, why in list(found.broken.items())[:SHOWN])
        typer.echo(f"without a result: {len(found.broken)} ({shown})")


def _preview(jobs: list[Job]) -> dict[str, object]:
    from last_edge.tools.extract.video import read_result

    done = sum(read_result(job) is not None for job in jobs)
    return {"videos": len(jobs), "done": done, "to do": len(jobs) - done, "classes": len({job.label for job in jobs})}
