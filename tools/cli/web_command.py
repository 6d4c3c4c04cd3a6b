"""`last-edge web`: a bundle in the browser, served to this machine alone or written as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from last_edge.tools.cli.options import DryRun, Force, Json, Quiet, Verbose

if TYPE_CHECKING:
    from last_edge.bundle import Bundle as Opened
    from last_edge.runtime.web.clips import Clip
    from last_edge.runtime.web.packages import NpmPackage
    from last_edge.runtime.web.site import Site

Landmarks = Literal["auto", "hand", "hand_lite", "pose", "holistic"]

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder or .last file.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes any that is free.")]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")]
Export = Annotated[Path | None, typer.Option("--export", help="Write a static site to this folder; serve nothing.")]
Detector = Annotated[Landmarks, typer.Option("--landmarks", help="Detector; auto takes what the bundle needs.")]
Clips = Annotated[
    Path | None,
    typer.Option("--clips", help="Store of `data synth` whose clips the page plays. Default: signs made for it."),
]
Count = Annotated[int, typer.Option("--clip-count", min=0, help="Most such clips; the bundle's test skeletons stay.")]


def web(
    bundle: Bundle,
    port: Port = 8765,
    open_page: Open = True,
    export: Export = None,
    landmarks: Detector = "auto",
    clips: Clips = None,
    clip_count: Count = 6,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Recognise gestures in the browser: camera, landmarks and model run in the page, and no frame leaves the device.

    The page is served on 127.0.0.1 until Ctrl-C. The first time, two packages come from the npm registry into the
    cache, each held to its sha512; from then on no network is needed.

    Example: last-edge web zoo/last_lite_nano_shrec14 --export site
    """
    from last_edge.bundle import Bundle as Opened
    from last_edge.files import check_free
    from last_edge.runtime.web.site import SITE, export_site, make_site, missing_packages
    from last_edge.tools.cli.output import emit

    detector = None if landmarks == "auto" else landmarks
    if export is not None:
        check_free(export, force=force, marker=SITE)
    opened = Opened.open(bundle)
    if dry_run:
        missing = [f"{package.name}@{package.version}" for package in missing_packages(opened, landmarks=detector)]
        emit({"bundle": str(bundle), "fetch": missing, "export": export and str(export)}, as_json=json)
        return
    played = _clips(opened, clips, clip_count)
    site = make_site(opened, landmarks=detector, clips=played, on_fetch=None if quiet else _tell)
    if export is not None:
        export_site(site, export, force=force)
        emit({**_described(site), "export": str(export)}, as_json=json)
        return
    _serve(site, port=port, open_page=open_page, json=json, quiet=quiet)


def _clips(bundle: Opened, store: Path | None, count: int) -> list[Clip]:
    """Made clips of a store, or made for the page."""
    from last_edge.runtime.web.clips import store_clips
    from last_edge.tools.cli.web_clips import made_signs

    manifest = bundle.manifest
    if store is not None:
        return store_clips(store, manifest.labels, count=count)
    return made_signs(manifest.input, manifest.labels, count=count) if count else []


def _serve(site: Site, *, port: int, open_page: bool, json: bool, quiet: bool) -> None:
    """Answer until Ctrl-C, which is how serving ends."""
    import sys
    import webbrowser
    from contextlib import suppress

    from last_edge.runtime.web.server import serving
    from last_edge.tools.cli.output import emit, stderr

    with serving(site, port=port) as server:
        emit({**_described(site), "url": server.url}, as_json=json)
        sys.stdout.flush()
        if not quiet:
            stderr().print("serving to this machine alone; Ctrl-C ends it", highlight=False)
        if open_page:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _described(site: Site) -> dict[str, Any]:
    """What was made, for people and programs."""
    return {
        "bundle": site.name,
        "precisions": list(site.precisions),
        "landmarks": site.detector,
        "clips": site.clips,
        "files": len(site.files),
        "bytes": site.size,
    }


def _tell(package: NpmPackage) -> None:
    """One line on stderr before a download."""
    from last_edge.tools.cli.output import stderr

    stderr().print(f"fetching {package.name} {package.version} into the cache", highlight=False)
