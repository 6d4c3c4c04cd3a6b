"""What a bundle holds, how to feed it, what it was measured at, and the hashes that prove it: `manifest.json`.

A translator's bundle has two graphs, sub-words and options of the search beside manifest, golden tensors and card.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

from last_edge import records
from last_edge.errors import InputError
from last_edge.inputs.features import FeatureInput, feature_input
from last_edge.inputs.spec import InputSpec

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
CARD = "card.md"
SUFFIX = ".last"
WEIGHTS = "weights.safetensors"
SAMPLES, PICTURE = "samples.npz", "gestures.svg"
"""Typical motions of the classes, and a picture of them."""
INPUT_NAME = "landmarks"
OUTPUT_NAME = "logits"
LARGEST_MANIFEST = 16 * 2**20

Figure = int | float | str
EVENT_FIGURES = ("gestures", "detection", "false_positives_and_misclassified", "jaccard", "jaccard_counts")
"""Of the spans of a stream's events: how many were to be found, and shares from 0 to 1."""
# Fields that bundles made before them lack. They are not written while empty, so that those bundles keep their seal.
LATER = ("tuned", "engines", "hands", "operating", "held_out", "stream", "unfolded")
HANDS = ("", "left", "right", "both")
TOKENIZER = "tokenizer.json"
SEARCH = "search.json"
SPANS = "spans.json"
"""By which rules a stream's answers become gestures, see `last_edge.runtime.recognise.spans`."""
MEMORY = ("memory_keys", "memory_values", "memory_keep")
"""Outputs of the encoder and inputs of the decoder: (N, layers, H, S, d) twice and (N, S)."""
PAST = ("past_keys", "past_values")
"""Inputs of the decoder: (N, layers, H, P, d), P sub-words so far; P may be 0."""
KEPT = ("keys", "values")
"""Outputs of the decoder: its `PAST` with one sub-word more."""
TOKEN, POSITION = "token", "position"
FRAME_NAME, ELAPSED_NAME = "landmarks_t", "elapsed"
"""Input and second output of a stream's graph: one frame (N, V, C), and seconds since what is shown began (N,)."""
STATE, NEXT_STATE = "state_", "next_state_"
"""Before the names of the state's tensors, as a stream's graph takes and gives them."""


def model_file(precision: str) -> str:
    """File name of one precision's graph."""
    return f"model.{precision}.onnx"


@dataclass(frozen=True)
class ModelInfo:
    """What was exported.

    name, kwargs: the registry's name and options. params: weights of the trained network. opset: of the ONNX files.
    """

    name: str
    kwargs: dict[str, Any]
    params: int
    opset: int = 20


@dataclass(frozen=True)
class StateTensor:
    """One tensor of a stream's state. shape: of one person; the graph's has the persons as first axis."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StreamInfo:
    """How a graph is fed that answers at every frame, and carries a state from each to the next.

    rate: frames a second that it counts in; a source of another rate is resampled by its time stamps. state: its
    tensors in order, all zeros before a person's first frame. delay: frames that an answer comes after the frame it is
    for. receptive_field: frames that an answer depends on, beside the running means of place and size.
    """

    rate: float
    state: tuple[StateTensor, ...]
    delay: int
    receptive_field: int

    @property
    def delay_s(self) -> float:
        """The delay in seconds."""
        return self.delay / self.rate

    @property
    def state_bytes(self) -> int:
        """Bytes of one person's state."""
        return 4 * sum(math.prod(tensor.shape) for tensor in self.state)


@dataclass(frozen=True)
class Provenance:
    """Where the weights come from.

    commit: of the exporting code, trained_commit: of the training code, "" when unknown.
    data_sha256: identity of the clip store trained on. checkpoint_sha256: of the weights file. seeds: by use.
    versions: of the libraries that made the files.
    """

    commit: str = ""
    trained_commit: str = ""
    data_sha256: str = ""
    checkpoint_sha256: str = ""
    seeds: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The bundle's description.

    files: sha256 of every other file. input: the whole `InputSpec`. units, axes: of the points the graph takes.
    labels: class names in the order of the logits. thresholds: `accept`, where there is one, is the least probability
    worth reporting; `accept_right`, `accept_share` and `accept_clips` tell how it was found on held-out people.
    `temperature` divides the logits before; `energy` is the least score of a motion that was taught, `energy_kept` and
    `energy_refused` percent of right answers and of unknown motions on either side of it.
    operating: by way of decoding the curve on streams of held-out people and of nothing, rows of {threshold, energy,
    detection in percent, false_per_hour}, from fewest false events on; `stated` is 1 in the one that is used unasked.
    calibration: how the INT8 ranges were found and the sha256 of the store they come from.
    calibration_ids: source ids of the clips used for it.
    tolerances: largest |difference| from the golden logits that a backend may show, by precision.
    parity: rows of {pair, on, n, max_abs, mean_abs, agreement in percent}.
    metrics: accuracy of the exported files by precision, shares in percent, with split, clip count n, store's sha256.
    tuned: by precision the fastest settings that `last-edge bench tune` found, and the processor it found them on.
    engines: by file name what was built from the graphs for one kind of device: flavour, version, precision, source.
    held_out: of a bundle that was taught by few takes, what models of the same recipe said of takes or people that were
    left out of their training: `by`, `folds`, `people`, `n`, `top1` with its 95% interval `low` to `high`, and percent
    `called` of `background` clips that would have been an event.
    hands: that it was taught, `left`, `right` or `both`; "" says right for a layout of one hand, else both.
    stream: of a graph that answers at every frame; None where it takes clips.
    unfolded: of float weights that were taken from the graph, the trained ones being lost: on which clips the batch
    norms were measured anew, `split`, `clips` and `store_sha256`; they compute what the graph does.
    seal: sha256 of all of the above, so that a changed byte of the manifest itself is seen.
    """

    name: str
    model: ModelInfo
    files: dict[str, str]
    input: InputSpec
    units: str
    axes: str
    labels: tuple[str, ...]
    thresholds: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, Figure] = field(default_factory=dict)
    calibration_ids: tuple[str, ...] = ()
    tolerances: dict[str, float] = field(default_factory=dict)
    parity: tuple[dict[str, Figure], ...] = ()
    metrics: dict[str, dict[str, Figure]] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    licence: str = ""
    tuned: dict[str, dict[str, Figure]] = field(default_factory=dict)
    engines: dict[str, dict[str, Figure]] = field(default_factory=dict)
    hands: str = ""
    operating: dict[str, tuple[dict[str, float], ...]] = field(default_factory=dict)
    held_out: dict[str, Figure] = field(default_factory=dict)
    stream: StreamInfo | None = None
    unfolded: dict[str, Figure] = field(default_factory=dict)
    schema_version: int = 1
    seal: str = ""

    @property
    def features(self) -> FeatureInput | None:
        """The graph's second input; None where it takes landmarks alone."""
        return feature_input(self.model.kwargs)

    @property
    def known_hands(self) -> str:
        """`left`, `right` or `both`: the hands that it was taught."""
        return self.hands or ("right" if self.input.layout.one_hand else "both")

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions with a graph file, `fp32` first."""
        names = [name.split(".")[1] for name in self.files if name.startswith("model.") and name.endswith(".onnx")]
        return tuple(sorted(names, key=lambda name: (name != "fp32", name)))

    def sealed(self) -> Manifest:
        """The same manifest with its seal."""
        return dataclasses.replace(self, seal=_seal(self))


def to_bytes(manifest: Manifest) -> bytes:
    """Canonical JSON of a sealed manifest."""
    return _text(manifest.sealed()).encode()


def from_bytes(content: bytes, *, where: object, verify: bool = True) -> Manifest:
    """Read a manifest strictly; `InputError` for unknown or missing fields and, with `verify`, for any changed byte."""
    if len(content) > LARGEST_MANIFEST:
        raise InputError("manifest is too large", where=where, expected=f"<= {LARGEST_MANIFEST}", got=len(content))
    manifest = records.from_dict(Manifest, records.parse_json(content, where=where), where=where)
    if verify and to_bytes(manifest) != content:
        raise InputError("bundle: bytes have changed", where=where, expected=_seal(manifest), got=manifest.seal)
    _check(manifest, where)
    return manifest


def _seal(manifest: Manifest) -> str:
    return hashlib.sha256(_text(dataclasses.replace(manifest, seal="")).encode()).hexdigest()


def _text(manifest: Manifest) -> str:
    plain = records.to_dict(manifest)
    return records.canonical({name: value for name, value in plain.items() if value or name not in LATER})


def _check(manifest: Manifest, where: object) -> None:
    if not manifest.labels or len(set(manifest.labels)) != len(manifest.labels):
        raise InputError("labels must be unique and at least one", where=where, got=len(manifest.labels))
    if (stream := manifest.stream) is not None and not (stream.rate > 0 and stream.state and stream.delay >= 0):
        raise InputError("a stream needs a rate and a state", where=where, got=stream)
    if manifest.hands not in HANDS:
        raise InputError("no such hands", where=where, expected=", ".join(HANDS[1:]), got=manifest.hands)


def encoder_file(precision: str) -> str:
    """File name of one precision's encoder."""
    return f"encoder.{precision}.onnx"


def decoder_file(precision: str = "fp32") -> str:
    """File name of one precision's decoder."""
    return f"decoder.{precision}.onnx"


def decoder_of(manifest: Manifest, precision: str) -> str:
    """File name of the decoder that works with one precision's encoder: its own, or the FP32 one."""
    own = decoder_file(precision)
    return own if own in manifest.files else decoder_file()


def translates(manifest: Manifest) -> bool:
    """Whether a bundle gives sentences."""
    return encoder_file("fp32") in manifest.files


def encoder_precisions(manifest: Manifest) -> tuple[str, ...]:
    """Precisions with an encoder, `fp32` first."""
    return tuple(name for name in ("fp32", "int8") if encoder_file(name) in manifest.files)


def precisions_of(manifest: Manifest) -> tuple[str, ...]:
    """Precisions that a bundle has files of, `fp32` first."""
    return manifest.precisions or encoder_precisions(manifest)


def graph_files(manifest: Manifest, precision: str) -> tuple[str, ...]:
    """File names of one precision at work: its graph, or an encoder and the decoder that works with it."""
    if translates(manifest):
        return encoder_file(precision), decoder_of(manifest, precision)
    return (model_file(precision),)
