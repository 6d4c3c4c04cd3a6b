"""The page as a set of files: its own, the two packages, a landmark model and a bundle. Server and export take it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import cast

from last_edge.bundle import Bundle
from last_edge.files import writing_folder
from last_edge.runtime.landmarks import Detector
from last_edge.runtime.landmarks.models import get_model, model_path
from last_edge.runtime.recognise.stream import Decode
from last_edge.runtime.web.describe import Clip, camera_detector, describe, golden_clips
from last_edge.runtime.web.packages import MARKER, MEDIAPIPE, ONNX_RUNTIME, NpmPackage, fetch, is_cached, read_package
from last_edge.skeleton.clip import Units

INDEX = "index.html"
SITE = "site.json"
PLACES = {ONNX_RUNTIME: "lib/ort", MEDIAPIPE: "lib/mediapipe"}
OnFetch = Callable[[NpmPackage], None]


@dataclass(frozen=True)
class Site:
    """files: content by address below the root. detector: of the camera, None where no detector feeds the bundle."""

    name: str
    files: Mapping[str, bytes]
    detector: Detector | None
    clips: int
    precisions: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


def packages_for(detector: Detector | None) -> tuple[NpmPackage, ...]:
    """What a page loads: MediaPipe only where there is a camera."""
    return (ONNX_RUNTIME,) if detector is None else (ONNX_RUNTIME, MEDIAPIPE)


def missing_packages(bundle: Bundle, *, landmarks: Detector | None = None) -> list[NpmPackage]:
    """What `make_site` would have to download."""
    detector = camera_detector(bundle.manifest.input, landmarks)
    return [package for package in packages_for(detector) if not is_cached(package)]


def make_site(
    bundle: Bundle,
    *,
    landmarks: Detector | None = None,
    clips: Sequence[Clip] = (),
    false_per_hour: float | None = None,
    decode: Decode = "sliding",
    on_fetch: OnFetch | None = None,
) -> Site:
    """Gather every file; packages that the cache lacks are fetched, each after a call of `on_fetch`.

    landmarks: detector of the camera; None takes what the bundle needs. clips: to play besides the golden skeletons.
    false_per_hour: most false events an hour by the bundle's curve; None for the point that it states.
    decode: how windows are decided, `sliding` or `spans`.
    Raises `UsageError`, `InputError` (of a translator too, and of a model that reads more than landmarks), and
    `MissingError` when a package or the landmark model cannot be had.
    """
    manifest = bundle.recogniser().of_landmarks("a browser has no such features").manifest
    detector = camera_detector(manifest.input, landmarks)
    clips = [*clips, *golden_clips(bundle, cast(Units, manifest.units))]
    page = describe(bundle, clips=clips, detector=detector, false_per_hour=false_per_hour, decode=decode)
    model = None if detector is None else model_path(detector)
    files = {
        **dict(static_files()),
        SITE: json.dumps(page.site, ensure_ascii=False, indent=1).encode(),
        "clips.bin": page.clips,
        **{graph["file"]: bundle.graph(graph["precision"]) for graph in page.site["graphs"]},
    }
    for package in packages_for(detector):
        if on_fetch is not None and not is_cached(package):
            on_fetch(package)
        fetch(package)
        named = read_package(package).items()
        files |= {f"{PLACES[package]}/{name}": content for name, content in named if name != MARKER}
    if detector is not None and model is not None:
        files[f"landmarks/{get_model(detector).file}"] = model.read_bytes()
    files["NOTICE.txt"] = notice(bundle, packages_for(detector)).encode()
    precisions = tuple(graph["precision"] for graph in page.site["graphs"])
    return Site(manifest.name, files, detector, len(clips), precisions)


def static_files() -> Iterator[tuple[str, bytes]]:
    """The page's own files by address."""
    return _below(resources.files("last_edge.runtime.web") / "static", "")


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _below(item, f"{prefix}{item.name}/")
        else:
            yield prefix + item.name, item.read_bytes()


def notice(bundle: Bundle, packages: tuple[NpmPackage, ...]) -> str:
    """Whose the parts are and under which terms, for whoever publishes the page."""
    manifest = bundle.manifest
    lines = ["This page holds", "", "LAST-Edge, its own files: Apache-2.0"]
    lines += [f"{package.name} {package.version}: {package.licence}, (c) {package.holder}" for package in packages]
    if MEDIAPIPE in packages:
        lines.append("landmark models of MediaPipe: Apache-2.0, (c) Google LLC")
    lines.append(f"the recognition model {manifest.name}: {manifest.licence or 'terms unknown'}")
    return "\n".join(lines) + "\n"


def export_site(site: Site, path: Path, *, force: bool = False) -> None:
    """Write every file below `path`; nothing stands there until all do. `UsageError` as `check_free` raises."""
    with writing_folder(path, marker=SITE, force=force) as folder:
        for name, content in site.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
