"""What the page is told of a bundle: `site.json`. The page knows no class, window, threshold or joint of its own.

And the landmark clips that it plays without a camera, and the golden tensors it checks itself with. Only made
recordings are packed: a bundle's golden tensors, and signs that `data synth` makes. Recordings of people stay where
they are, since an exported page may be published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.bundle import Bundle, Golden
from last_edge.bundle.manifest import OUTPUT_NAME, model_file
from last_edge.bundle.samples import SAMPLES, Samples
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.names import mirrored_order
from last_edge.runtime.landmarks import GIVES, Detector, detector_for
from last_edge.runtime.landmarks.models import get_model
from last_edge.runtime.recognise.adapt import LIMB_METRES, SIDES
from last_edge.runtime.recognise.decoding import USUAL_THRESHOLD, choose_point
from last_edge.runtime.recognise.model import ACCEPT, span_rules
from last_edge.runtime.recognise.stream import HOLD_S, TOP, Decode, RecogniseOptions
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources.points import SampleSource
from last_edge.skeleton import Layout, get_layout
from last_edge.skeleton.clip import SkeletonClip, Units
from last_edge.skeleton.convert import find_recipe

PRECISIONS = ("fp32", "int8")
WANTED = {"hand": "a hand", "pose": "your whole body", "holistic": "your hands and face"}
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_OUTPUT = 1, 12
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR = 1, 2, 4
VALUE_NAME = 1
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
LAST_LAYER = b"Gemm"
"""How a graph is stored as protobuf: numbers of fields and kinds, and the operator whose input is wanted."""
FPS = 30.0
MADE = "synth"


@dataclass(frozen=True)
class Page:
    """site: the content of `site.json`. clips: the bytes it counts into, little-endian float32."""

    site: dict[str, Any]
    clips: bytes


def describe(
    bundle: Bundle, *, clips: Sequence[Clip], detector: Detector | None, false_per_hour: float | None = None,
    decode: Decode = "sliding",
) -> Page:  # fmt: skip
    """Everything the page needs beside the graphs. detector: of the camera; None where none feeds the bundle.

    false_per_hour: see `choose_point`. decode: how windows are decided; a page cuts no motions.
    """
    manifest = bundle.manifest
    if manifest.units not in ("image01", "metres"):
        raise InputError("bundle in unknown units", where=bundle.path, expected="image01 or metres", got=manifest.units)
    units = cast(Units, manifest.units)
    spec, thresholds, rules = manifest.input, manifest.thresholds, span_rules(bundle)
    options = RecogniseOptions(decode)
    point = choose_point(manifest.operating, decode, most_false=false_per_hour, where=bundle.path)
    usual = USUAL_THRESHOLD if rules is None else rules.sure
    threshold = thresholds.get(ACCEPT, usual) if point is None else point.threshold
    least_energy = thresholds.get("energy") if point is None else point.energy
    precisions = [name for name in PRECISIONS if name in bundle.precisions]
    kept = pack(clips, bundle.golden, precisions=precisions)
    site = {
        "schema_version": 1,
        "name": manifest.name,
        "labels": manifest.labels,
        "licence": manifest.licence,
        "hands": manifest.known_hands,
        "mirrored_labels": mirrored_order(manifest.labels),
        "units": units,
        "input": {
            "frames": spec.frames,
            "channels": spec.channels,
            "bodies": spec.bodies,
            "scale": spec.scale,
            "layout": _layout(spec.layout),
        },
        "stream": None if manifest.stream is None else records.to_dict(manifest.stream),
        "rules": None if rules is None else records.to_dict(rules),
        "graphs": [
            {
                "precision": name,
                "file": f"bundle/{model_file(name)}",
                "bytes": len(bundle.graph(name)),
                "tolerance": manifest.tolerances.get(name),
                "features": _features(bundle.graph(name)),
            }
            for name in precisions
        ],
        "threshold": threshold,
        "rejection": {"temperature": thresholds.get("temperature", 1.0), "energy": least_energy},
        "options": {**records.to_dict(options), "top": TOP, "hold_s": HOLD_S},
        "camera": None if detector is None else _camera(detector, spec, units),
        "clips": [
            {**entry, "source": describe_source(clip.layout, clip.units, spec=spec, target_units=units)}
            for clip, entry in zip(clips, kept.clips, strict=True)
        ],
        "golden": kept.golden,
    }
    return Page(site, kept.content)


def _features(graph: bytes) -> dict[str, Any] | None:
    """How the page gets what the last layer reads; None where it does not."""
    found = features_of(graph)
    return None if found is None else {"name": found.name, "behind": list(found.behind)}


def camera_detector(spec: InputSpec, wanted: Detector | None) -> Detector | None:
    """The detector that feeds a bundle, or the wanted one; None where the camera cannot give its points.

    `UsageError` when the wanted one does not fit.
    """
    if wanted is not None:
        find_source(_given(wanted, spec), spec)
        return wanted
    try:
        return detector_for(spec.layout)
    except UsageError:
        return None


def describe_source(layout: Layout, units: Units, *, spec: InputSpec, target_units: Units) -> dict[str, Any]:
    """How points of a source become the bundle's, as `runtime.adapt.Adapter` does it.

    recipes: by side the source joints whose mean each joint is; None where the joints are the same. limb_metres: the
    length that the layout's limb is scaled to; None to leave sizes alone.
    """
    turn = units != target_units
    sized = turn and spec.scale == "none" and target_units == "metres"
    return {
        "layout": _layout(layout),
        "units": units,
        "recipes": find_source(layout, spec),
        "turn": turn,
        "limb_metres": LIMB_METRES.get(spec.layout.name) if sized else None,
    }


def find_source(layout: Layout, spec: InputSpec) -> dict[str, Any] | None:
    """Recipes by side, None where the joints are the same; `UsageError` where there is no conversion."""
    if layout.names == spec.layout.names:
        return None
    return {side: find_recipe(layout.name, spec.layout.name, side=sides[0]) for side, sides in SIDES.items()}


def _given(detector: Detector, spec: InputSpec) -> Layout:
    """The layout of a detector's points; holistic gives face points where the bundle wants them."""
    if detector == "holistic" and spec.layout.name == "mediapipe_holistic83":
        return get_layout("mediapipe_holistic83")
    return get_layout(next(layout for layout, gives in GIVES.items() if gives == _family(detector)))


def _family(detector: Detector) -> str:
    """`hand` of `hand_lite`: what is found, whichever network finds it."""
    return detector.partition("_")[0]


def _camera(detector: Detector, spec: InputSpec, units: Units) -> dict[str, Any]:
    layout = _given(detector, spec)
    return {
        "detector": _family(detector),
        "file": f"landmarks/{get_model(detector).file}",
        "wanted": WANTED[_family(detector)],
        "face": _face(layout),
        "source": describe_source(layout, "image01", spec=spec, target_units=units),
    }


def _face(layout: Layout) -> tuple[int, ...]:
    """Points of the face mesh that follow body and hands."""
    from last_edge.clips.pose_file import FACE_POINTS

    return tuple(FACE_POINTS) if layout.name == "mediapipe_holistic83" else ()


def _layout(layout: Layout) -> dict[str, Any]:
    """What the page draws, measures and mirrors: names, edges, the limb that gives the scale, other sides."""
    about = {"name": layout.name, "names": layout.names, "edges": layout.edges, "scale": layout.scale}
    return {**about, "mirror": layout.mirror}


@dataclass(frozen=True)
class Features:
    """What makes a graph give out the features that its last layer reads, on which the page teaches a head.

    An ONNX file is one protobuf message, and what is written behind a message's end goes on with it (protobuf's
    encoding, "last one wins", of embedded messages merging): so a few bytes behind a graph declare one output more.
    Nothing but the tensor's name has to be read, so no package besides the runtime's is needed.

    name: of the tensor (N, F) that the last layer reads. behind: the bytes.
    """

    name: str
    behind: bytes


def features_of(graph: bytes) -> Features | None:
    """None of a graph whose logits are no linear layer's, as where an answer is a mean over frames."""
    for number, content in fields(memoryview(graph)):
        if number != MODEL_GRAPH:
            continue
        for kind, node in fields(content):
            if kind == GRAPH_NODE and (name := _read_by_last_layer(node)) is not None:
                output = _field(GRAPH_OUTPUT, _field(VALUE_NAME, name))
                return Features(name.decode(), _field(MODEL_GRAPH, output))
    return None


def _read_by_last_layer(node: memoryview) -> bytes | None:
    """The first input of the linear layer that gives the logits; None of another node."""
    found = [(number, bytes(content)) for number, content in fields(node)]
    given = [content for number, content in found if number == NODE_OUTPUT]
    if given != [OUTPUT_NAME.encode()] or (NODE_OPERATOR, LAST_LAYER) not in found:
        return None
    return next(content for number, content in found if number == NODE_INPUT)


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every field that has a length; the others are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == LENGTH:
            size, at = _varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        elif kind == VARINT:
            _, at = _varint(message, at)
        else:
            at += 8 if kind == FIXED64 else 4


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        at, shift, more = at + 1, shift + 7, message[at] & 0x80
        if not more:
            return value, at


def _field(number: int, content: bytes) -> bytes:
    """A field with a length below 128."""
    assert len(content) < 128
    return bytes([number << 3 | LENGTH, len(content)]) + content


@dataclass(frozen=True)
class Clip:
    """points: (M, T, V, C). label: its class, "" where none is known."""

    name: str
    label: str
    points: Points
    fps: float
    layout: Layout
    units: Units


@dataclass(frozen=True)
class Packed:
    """content: little-endian float32. clips, golden: what stands where; `offset` counts floats."""

    content: bytes
    clips: list[dict[str, Any]]
    golden: dict[str, Any]


def golden_clips(bundle: Bundle, units: Units) -> list[Clip]:
    """The golden skeletons as clips of 30 frames a second; they are made, and of no class."""
    spec = bundle.manifest.input
    points = bundle.golden.points
    bodies = points if points.ndim == 5 else points[:, None]
    return [
        Clip(f"test skeleton {number + 1}", "", body, FPS, spec.layout, units) for number, body in enumerate(bodies)
    ]


def sample_clips(bundle: Bundle) -> list[Clip]:
    """The typical motions that a bundle has with it; of a network for streams each from rest to rest."""
    manifest = bundle.manifest
    samples = Samples.from_bytes(bundle.read(SAMPLES), where=bundle.path / SAMPLES)
    if manifest.stream is not None:
        before, after = (round(seconds * samples.fps) for seconds in (SampleSource.before_s, SampleSource.after_s))
        still = np.pad(samples.points, ((0, 0), (0, 0), (before, after), (0, 0), (0, 0)), mode="edge")
        samples = replace(samples, points=still)
    return [
        Clip(f"{label}, as most do it", label, points, samples.fps, manifest.input.layout, cast(Units, manifest.units))
        for points, label in zip(samples.points, samples.labels, strict=True)
    ]


def store_clips(path: Path, labels: tuple[str, ...], *, count: int) -> list[Clip]:
    """Clips of a store of made signs, one of each class in turn, those of unseen signers first.

    `UsageError` when the store was not made by `data synth`: its recordings are somebody's.
    """
    store = ClipStore.open(path)
    if store.about.get("dataset") != MADE:
        raise UsageError("only made clips go into the page", where=path, expected="a store of `last-edge data synth`",
                         got=store.about.get("title") or store.about.get("dataset"))  # fmt: skip
    chosen = [store.clip(number) for number in _chosen(store, count)]
    return [from_skeleton(clip, labels, signer=f"signer {clip.subject}") for clip in chosen]


def _chosen(store: ClipStore, count: int) -> list[int]:
    """Numbers of clips, class after class and round again."""
    test = store.select(split="test")
    pool = test if len(test) else store.select()
    rounds: dict[int, int] = {}
    order: list[tuple[int, int, int]] = []
    for number in pool.tolist():
        label = int(store.index.label[number])
        rounds[label] = rounds.get(label, 0) + 1
        order.append((rounds[label], label, number))
    return [number for _, _, number in sorted(order)[:count]]


def from_skeleton(clip: SkeletonClip, labels: tuple[str, ...], *, signer: str) -> Clip:
    """A recorded or made clip; its class counts only where the bundle has it."""
    label = clip.label if clip.label in labels else ""
    name = f"{clip.label or 'a sign'}, {signer}"
    return Clip(name, label or "", clip.coords, clip.fps, clip.layout, clip.units)


def pack(clips: Sequence[Clip], golden: Golden, *, precisions: list[str]) -> Packed:
    """Clips, and the golden points and logits of some precisions, one after the other."""
    packer = _Packer()
    entries = [
        {"name": clip.name, "label": clip.label, "fps": clip.fps, "points": packer.add(clip.points)} for clip in clips
    ]
    answers = {name: packer.add(golden.logits[name]) for name in precisions if name in golden.logits}
    checks = {"points": packer.add(golden.points), "logits": answers}
    return Packed(b"".join(packer.pieces), entries, checks)


class _Packer:
    """Lays arrays one behind the other and says where each went."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._floats = 0

    def add(self, array: NDArray[np.float32]) -> dict[str, Any]:
        """Offset in floats and shape of what was added."""
        place = {"offset": self._floats, "shape": array.shape}
        self.pieces.append(np.ascontiguousarray(array, "<f4").tobytes())
        self._floats += array.size
        return place
