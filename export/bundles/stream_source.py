"""What a checkpoint that answers at every frame gives to its bundle; see `sources.Source`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from last_edge.bundle.manifest import SPANS, STATE, StateTensor, StreamInfo, model_file
from last_edge.clips.recordings import by_clip, newest, recordings
from last_edge.clips.store import ClipStore
from last_edge.export.onnx.onnx_graph import OPSET, Axes, check_declared, graph_metadata, serialised, slimmed
from last_edge.export.onnx.opset import with_opset
from last_edge.export.proof.golden_points import golden_inputs, size_of
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.tasks.recognition import BATCH_AXIS
from last_edge.tasks.registry import STREAMING
from last_edge.tasks.task import Answers, Clips
from last_edge.train.checkpoint import load_checkpoint

GOLDEN_FRAMES = 48
FEW = 8
"""Recordings that say how large a skeleton is."""


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

    def files(self, *, dynamic_time: bool = False, opset: int = OPSET) -> dict[str, bytes]:
        """See `Source`; `GateError` when the graph is not as it was declared."""
        rules = {SPANS: self.rules.read_bytes()} if self.rules else {}
        graph = step_to_onnx(self.model, labels=self.labels, name=self.card.name)
        return {model_file("fp32"): with_opset(graph, opset), **rules}

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        """See `Source`."""
        size = None
        if store is not None and len(clips):
            frames = np.concatenate(recordings(store, clips[:FEW], self.spec, self.rate))
            size = size_of(frames, self.spec.layout)
        return golden_inputs(dataclasses.replace(self.spec, frames=GOLDEN_FRAMES), None, size=size)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """See `Source`."""
        return np.concatenate(self._run(inputs[LANDMARKS])[0])

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """See `Source`."""
        return self._run(inputs[LANDMARKS])[1]

    def answers(self, store: ClipStore, clips: Clips) -> dict[str, Answers]:
        """See `Source`; at the recordings' own rates."""
        rate = self.rate
        said = by_clip(lambda batch: self._run(batch)[0], recordings(store, clips, self.spec, rate))
        places = newest(store, clips, rate)
        return {"torch": np.concatenate([own[place] for own, place in zip(said, places, strict=True)])}

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
    metadata = {**graph_metadata(model.spec, labels, name), "time": "step"}
    proto = serialised(slimmed(graph), metadata=metadata)
    given: Axes = {part: [BATCH_AXIS, *value.shape[1:]] for part, value in graph.inputs.items()}
    after = [axes for part, axes in given.items() if part.startswith(STATE)]
    declared: Axes = dict(zip(graph.outputs, [[BATCH_AXIS, len(labels)], [BATCH_AXIS], *after], strict=True))
    check_declared(proto, inputs=given, outputs=declared)
    return bytes(proto.SerializeToString(deterministic=True))
