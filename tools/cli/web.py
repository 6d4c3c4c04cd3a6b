"""`last-edge web`: a bundle in the browser, served to this machine alone or written as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from last_edge.errors import UsageError
from last_edge.files import check_free
from last_edge.tools.cli.options import SCREEN, BundlePath, DryRun, FalsePerHour, Force, Landmarks, Screen

if TYPE_CHECKING:
    from last_edge.bundle import Bundle as Opened
    from last_edge.inputs import InputSpec
    from last_edge.runtime.web.describe import Clip
    from last_edge.runtime.web.site import Site

SYNTHETIC_LAYOUT = "mediapipe_holistic75"
SEED = 1_000_003
"""Of a signer that no set has which was made with a usual seed."""

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes any that is free.")]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")]
Export = Annotated[Path | None, typer.Option("--export", help="Write a static site to this folder; serve nothing.")]
Clips = Annotated[
    Path | None,
    typer.Option("--clips", help="Store of `data synth` whose clips the page plays. Default: signs made for it."),
]
Count = Annotated[int, typer.Option("--clip-count", min=0, help="Most such clips; the bundle's test skeletons stay.")]


def web(
    bundle: BundlePath,
    port: Port = 8765,
    open_page: Open = True,
    export: Export = None,
    landmarks: Landmarks = "auto",
    clips: Clips = None,
    clip_count: Count = 6,
    false_alarms_per_hour: FalsePerHour = None,
    decode: Annotated[
        Literal["sliding", "spans"], typer.Option(help="How windows are decided, as for `run`.")
    ] = "sliding",
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Recognise gestures in the browser: camera, landmarks and model run in the page, and no frame leaves the device.

    The page is served on 127.0.0.1 until Ctrl-C. The first time, two packages come from the npm registry into the
    cache, each checked by its sha512; from then on no network is needed.

    Example: last-edge web zoo/last_lite_nano_shrec14 --export site
    """
    from last_edge.bundle import Bundle as Opened
    from last_edge.runtime.web.site import SITE, export_site, make_site, missing_packages

    detector = None if landmarks == "auto" else landmarks
    if export is not None:
        check_free(export, force=force, marker=SITE, option="--export")
    opened = Opened.open(bundle)
    if dry_run:
        missing = [f"{package.name}@{package.version}" for package in missing_packages(opened, landmarks=detector)]
        screen.emit({"bundle": str(bundle), "fetch": missing, "export": export and str(export)})
        return
    played = clips_to_play(opened, clips, clip_count)
    site = make_site(
        opened, landmarks=detector, clips=played, false_per_hour=false_alarms_per_hour, decode=decode,
        on_fetch=lambda package: screen.note(f"fetching {package.name} {package.version} into the cache"),
    )  # fmt: skip
    if export is not None:
        export_site(site, export, force=force)
        screen.emit({**described(site), "export": str(export)})
        return
    serve(site, port=port, open_page=open_page, screen=screen)


def clips_to_play(bundle: Opened, store: Path | None, count: int) -> list[Clip]:
    """Made clips of a store, the typical motions that the bundle has with it, or clips made for the page."""
    from last_edge.bundle.manifest import SAMPLES
    from last_edge.runtime.web.describe import sample_clips, store_clips

    manifest = bundle.manifest
    if store is not None:
        return store_clips(store, manifest.labels, count=count)
    if SAMPLES in manifest.files:
        return sample_clips(bundle)[:count]
    return made_signs(manifest.input, manifest.labels, count=count) if count else []


def serve(site: Site, *, port: int, open_page: bool, screen: Screen) -> None:
    """Answer until Ctrl-C, which is how serving ends."""
    import sys
    import webbrowser
    from contextlib import suppress

    from last_edge.runtime.web.server import serving

    with serving(site, port=port) as server:
        screen.emit({**described(site), "url": server.url})
        sys.stdout.flush()
        screen.note("serving to this machine alone; Ctrl-C ends it")
        if open_page:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def described(site: Site) -> dict[str, Any]:
    """What was made, for people and programs."""
    return {
        "bundle": site.name,
        "precisions": list(site.precisions),
        "landmarks": site.detector,
        "clips": site.clips,
        "files": len(site.files),
        "bytes": site.size,
    }


def made_signs(spec: InputSpec, labels: tuple[str, ...], *, count: int) -> list[Clip]:
    """Up to `count` signs by one made signer; none where the bundle cannot take the points of body and hands.

    They are of the bundle's own classes where it was taught the synthetic signs, else of classes it does not know.
    """
    from itertools import islice

    from last_edge.data.synth import SynthOptions, gloss_names, synthesise
    from last_edge.runtime.web.describe import find_source, from_skeleton
    from last_edge.skeleton import get_layout

    try:
        find_source(get_layout(SYNTHETIC_LAYOUT), spec)
    except UsageError:
        return []
    try:
        known = set(gloss_names(SynthOptions(glosses=len(labels)))) == set(labels)
    except UsageError:  # more labels than the lexicon has glosses
        known = False
    options = SynthOptions(
        glosses=len(labels) if known else count, signers=1, clips_per_gloss_per_signer=1, test_signers=0, seed=SEED
    )
    return [from_skeleton(clip, labels, signer="made") for clip in islice(synthesise(options), count)]
