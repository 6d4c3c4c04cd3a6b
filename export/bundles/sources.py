"""What a trained checkpoint gives to its bundle: files, and the answers that they are held to.

Golden inputs are skeletons that no sensor ever saw, so that a bundle carries nobody's recording.
A recogniser is one graph from landmarks to logits. A translator is an encoder, and a decoder that goes word by word.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from last_edge import records
from last_edge.bundle.manifest import (
    SEARCH,
    SPANS,
    STATE,
    TOKENIZER,
    StateTensor,
    StreamInfo,
    decoder_file,
    encoder_file,
    model_file,
)
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import frame_answers, plain_batch, recordings
from last_edge.export.bundles.thresholds import accept_threshold, rejection_thresholds, validation_clips
from last_edge.export.onnx import onnx_graph
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.parity import torch_logits
from last_edge.inputs.features import LANDMARKS, FeatureInput, Inputs
from last_edge.inputs.spec import InputSpec
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.skeleton.layout import Layout, ancestors
from last_edge.tasks.recognition import BATCH_AXIS
from last_edge.tasks.registry import STREAMING, TRANSLATION, task_of
from last_edge.tasks.task import Answers, Clips
from last_edge.tasks.translator import FILE, read_translator, search_options
from last_edge.text import SOS
from last_edge.train.checkpoint import ModelCard, checkpoint_folder, load_checkpoint, read_card

GOLDEN_CLIPS = 4
GOLDEN_STEPS = 48
FEW = 8
"""Recordings that say how large a skeleton is."""
GOLDEN_FRAMES = 64


class StreamSource:
    """See `Source`. Logits are those of all frames, clip after clip."""

    def __init__(self, run: Path) -> None:
        checkpoint = load_checkpoint(run)
        self.path, self.card, self.spec, self.labels = (
            checkpoint.path, checkpoint.card, checkpoint.spec, checkpoint.labels
        )  # fmt: skip
        self.model = cast(LastLiteStream, checkpoint.model)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        state = self.model.initial_state(1).items()
        self.rate = self.model.rate
        self.stream: StreamInfo | None = StreamInfo(
            rate=self.rate,
            state=tuple(StateTensor(name, tuple(value.shape[1:])) for name, value in state),
            delay=self.model.delay,
            receptive_field=self.model.receptive_field,
        )
        # The rules that `fit-spans` found lie beside the run.
        places = [folder / SPANS for folder in (run, self.path.parent.parent)]
        self.rules = next((place for place in places if place.is_file()), None)
        self.names: tuple[str, ...] = (model_file("fp32"), *([SPANS] if self.rules else []))

    def files(self, *, dynamic_time: bool = False, opset: int = onnx_graph.OPSET) -> dict[str, bytes]:
        """See `Source`; `GateError` when the graph is not as it was declared."""
        rules = {SPANS: self.rules.read_bytes()} if self.rules else {}
        graph = step_to_onnx(self.model, labels=self.labels, name=self.card.name)
        return {model_file("fp32"): onnx_graph.with_opset(graph, opset), **rules}

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        size = None
        if store is not None and len(clips):
            frames = np.concatenate(recordings(store, clips[:FEW], self.spec, self.rate))
            size = size_of(frames, self.spec.layout)
        return golden_inputs(dataclasses.replace(self.spec, frames=GOLDEN_STEPS), None, size=size)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        return np.concatenate(self._run(inputs[LANDMARKS])[0])

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        return self._run(inputs[LANDMARKS])[1]

    def answers(self, store: ClipStore, clips: Clips) -> dict[str, Answers]:
        """See `Source`; at the recordings' own rates."""
        return {"torch": frame_answers(
            lambda batch: self._run(batch)[0], store, clips, self.spec, rate=self.rate, delay=self.model.delay
        )}  # fmt: skip

    @torch.inference_mode()
    def _run(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Logits (N, T, K) of clips (N, T, V, C), and the state after them."""
        answer, state = self.model.forward_steps(torch.from_numpy(points), self.model.initial_state(len(points)))
        return answer.logits.numpy(), {name: value.numpy() for name, value in state.items()}

    def thresholds(self, files: dict[str, bytes], store: ClipStore, *, threads: int) -> dict[str, float]:
        """Empty: a stream has rules of its own."""
        return {}

    def judging(self, store: ClipStore) -> Clips:
        """Nobody."""
        return np.zeros(0, np.int64)


def step_to_onnx(model: LastLiteStream, *, labels: tuple[str, ...], name: str) -> bytes:
    """ONNX bytes of one step of a model: a frame of each person and their states to logits and the next states.

    The same weights give the same bytes. `GateError` when the file is not as declared.
    """
    (graph,) = STREAMING.graphs(model.deployed(), name=name)
    metadata = {**onnx_graph.graph_metadata(model.spec, labels, name), "time": "step"}
    proto = onnx_graph.serialised(onnx_graph.slimmed(graph), metadata=metadata)
    given: onnx_graph.Axes = {part: [BATCH_AXIS, *value.shape[1:]] for part, value in graph.inputs.items()}
    after = [axes for part, axes in given.items() if part.startswith(STATE)]
    declared: onnx_graph.Axes = dict(zip(graph.outputs, [[BATCH_AXIS, len(labels)], [BATCH_AXIS], *after], strict=True))
    onnx_graph.check_declared(proto, inputs=given, outputs=declared)
    return bytes(proto.SerializeToString(deterministic=True))


class Source(Protocol):
    """A checkpoint, read for export.

    labels: names of the logits' columns. names: of the files it gives. stream: how its graph goes from frame to frame,
    None where it takes clips.
    """

    path: Path
    card: ModelCard
    spec: InputSpec
    labels: tuple[str, ...]
    names: tuple[str, ...]
    stream: StreamInfo | None

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        ...

    def files(self, *, dynamic_time: bool = False, opset: int = onnx_graph.OPSET) -> dict[str, bytes]:
        """Graphs in FP32 and what they need beside them, by file name.

        dynamic_time: clips of any length. opset: the operator set they are written in.
        """
        ...

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        """Made skeletons; of the size of a store's, where one is given."""
        ...

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """What the model itself says to golden inputs."""
        ...

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Of a model with a state, what it is after golden inputs; else empty."""
        ...

    def answers(self, store: ClipStore, clips: Clips) -> dict[str, Answers]:
        """What the model itself says to clips, as `torch`; empty where the golden inputs must do."""
        ...

    def thresholds(self, files: dict[str, bytes], store: ClipStore, *, threads: int) -> dict[str, float]:
        """What the answers are worth by the clips that judge; empty, which leaves it to the runtime, without any."""
        ...

    def judging(self, store: ClipStore) -> Clips:
        """Clips of people that the weights never saw, by which a threshold is found."""
        ...


class RecogniserSource:
    names: tuple[str, ...] = (model_file("fp32"),)
    stream: StreamInfo | None = None

    def __init__(self, run: Path) -> None:
        self.checkpoint = load_checkpoint(run)
        self.path, self.card = self.checkpoint.path, self.checkpoint.card
        self.spec, self.labels = self.checkpoint.spec, self.checkpoint.labels
        self.model = self.checkpoint.model
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def files(self, *, dynamic_time: bool = False, opset: int = onnx_graph.OPSET) -> dict[str, bytes]:
        edge = self.model.deployed()
        graph = onnx_graph.to_onnx(edge, labels=self.labels, name=self.card.name, dynamic_time=dynamic_time)
        return {model_file("fp32"): onnx_graph.with_opset(graph, opset)}

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        size = None if store is None else size_of(plain_batch(store, clips, self.spec)[LANDMARKS], self.spec.layout)
        return golden_inputs(self.spec, self.model.features, size=size)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        return torch_logits(self.model, inputs)

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        return {}

    def answers(self, store: ClipStore, clips: Clips) -> dict[str, Answers]:
        return {"torch": torch_logits(self.model, plain_batch(store, clips, self.spec, self.model.features))}

    def thresholds(self, files: dict[str, bytes], store: ClipStore, *, threads: int) -> dict[str, float]:
        """See `Source`. Of a model with a second input empty: what is made between clips has no features."""
        clips = self.judging(store)
        if not len(clips) or self.model.features is not None:
            return {}
        graph = files[model_file("fp32")]
        logits = logits_of(graph, plain_batch(store, clips, self.spec), threads=threads)
        rejection = rejection_thresholds(graph, logits, store=store, clips=clips, spec=self.spec, threads=threads)
        return {**accept_threshold(logits / rejection["temperature"], store.index.label[clips]), **rejection}

    def judging(self, store: ClipStore) -> Clips:
        return validation_clips(self.checkpoint, store)


class TranslatorSource:
    names: tuple[str, ...] = (encoder_file("fp32"), decoder_file("fp32"), TOKENIZER, SEARCH)
    stream: StreamInfo | None = None

    def __init__(self, run: Path) -> None:
        checkpoint = load_checkpoint(run)
        self.path, self.card, self.recipe = checkpoint.path, checkpoint.card, checkpoint.recipe
        self.spec, self.labels = checkpoint.spec, checkpoint.labels
        self.model = read_translator(checkpoint).model
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def files(self, *, dynamic_time: bool = False, opset: int = onnx_graph.OPSET) -> dict[str, bytes]:
        """See `Source`; any number of clips, of any length."""
        options = search_options(self.recipe.translate, longest=self.model.options.longest)
        graphs = TRANSLATION.graphs(self.model.deployed(), name=self.card.name, dynamic_time=dynamic_time)
        return {
            **{graph.file: onnx_graph.to_bytes(graph, metadata={"input_sha256": self.spec.sha256}) for graph in graphs},
            TOKENIZER: (self.path / FILE).read_bytes(),
            SEARCH: records.to_json(options).encode(),
        }

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        return golden_inputs(dataclasses.replace(self.spec, frames=min(GOLDEN_FRAMES, self.spec.frames)), None)

    @torch.inference_mode()
    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """Those of each clip's first sub-word."""
        points = torch.from_numpy(inputs[LANDMARKS])
        return np.asarray(self.model(points, torch.full((len(points), 1), SOS))[:, 0].numpy())

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        return {}

    def answers(self, store: ClipStore, clips: Clips) -> dict[str, Answers]:
        return {}

    def thresholds(self, files: dict[str, bytes], store: ClipStore, *, threads: int) -> dict[str, float]:
        return {}

    def judging(self, store: ClipStore) -> Clips:
        """Nobody."""
        return np.zeros(0, np.int64)


SOURCES: dict[str, Callable[[Path], Source]] = {
    "recognition": RecogniserSource,
    "translation": TranslatorSource,
    "streaming": StreamSource,
}
"""By the name of a model's task."""


def read_source(run: Path) -> Source:
    """A run's best checkpoint, or a checkpoint folder."""
    card, _ = read_card(checkpoint_folder(run))
    return SOURCES[task_of(card.name).name](run)


@dataclass(frozen=True)
class Size:
    """How large and how lively a made skeleton is, in the units of its points.

    bone: length of a bone. step: how far a joint moves against its parent from one frame to the next.
    """

    bone: float = 0.1
    step: float = 0.01


def size_of(points: NDArray[np.float32], layout: Layout) -> Size:
    """Median bone length and frame-to-frame step of windows (n, T, V, C) or (n, M, T, V, C); the usual where unseen."""
    children = [child for child, parent in enumerate(layout.parents) if child != parent]
    bones = points[..., children, :] - points[..., [layout.parents[child] for child in children], :]
    usual = Size()
    steps = _median_length(np.diff(bones, axis=-3), usual.step)
    return Size(_median_length(bones, usual.bone), steps)


def golden_points(spec: InputSpec, *, size: Size | None = None, seed: int = 0) -> NDArray[np.float32]:
    """(4, *spec.shape) inputs: a whole clip, scattered missing points, a late start, and nothing seen at all.

    Each is a random walk down the layout's tree: bones of about `size.bone` that turn by `size.step` a frame, and carry
    what hangs on them. The same seed gives the same points.
    """
    size, random = size or Size(), np.random.default_rng(seed)
    shape = (GOLDEN_CLIPS, *spec.shape)
    rest = random.normal(scale=size.bone / np.sqrt(shape[-1]), size=(*shape[:-3], 1, *shape[-2:]))
    walk = random.normal(scale=size.step / np.sqrt(shape[-1]), size=shape).cumsum(axis=-3)
    points: NDArray[np.float32] = np.matmul(ancestors(spec.layout), rest + walk).astype(np.float32)
    points[1][random.random(points.shape[1:-1]) < 0.15] = np.nan
    points[2][..., : shape[-3] // 4, :, :] = np.nan
    points[3] = np.nan
    return points


def golden_inputs(
    spec: InputSpec, features: FeatureInput | None, *, size: Size | None = None, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """`golden_points` and, for a model with a second input, random rows, of which the third clip has none."""
    inputs = {LANDMARKS: golden_points(spec, size=size, seed=seed)}
    if features is not None:
        rows = np.random.default_rng(seed).normal(size=(GOLDEN_CLIPS, *features.shape)).astype(np.float32)
        rows[2] = np.nan
        inputs[features.name] = rows
    return inputs


def _median_length(vectors: NDArray[np.float32], usual: float) -> float:
    """Median length of the known vectors (..., C) to two digits, which is no one's own measure."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=-1))
    known = lengths[np.isfinite(lengths) & (lengths > 0)]
    return float(f"{np.median(known):.2g}") if len(known) else usual
