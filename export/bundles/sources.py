"""What a trained checkpoint gives to its bundle: files, and the answers that they are held to.

A recogniser is one graph from landmarks to logits. A translator is an encoder, and a decoder that goes word by word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge import records
from last_edge.bundle.manifest import (
    INPUT_NAME,
    KEPT,
    MEMORY,
    OUTPUT_NAME,
    PAST,
    POSITION,
    SEARCH,
    TOKEN,
    TOKENIZER,
    decoder_file,
    encoder_file,
    model_file,
)
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import UsageError
from last_edge.export.bundles.thresholds import accept_threshold, rejection_thresholds, validation_clips
from last_edge.export.onnx.onnx_graph import OPSET, quiet_export, tidy, to_onnx
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.golden_points import golden_inputs, size_of
from last_edge.export.proof.parity import torch_logits
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.inputs.spec import InputSpec
from last_edge.models.sign2text import Memory, Sign2Text
from last_edge.tasks.registry import task_of
from last_edge.tasks.task import Answers, Clips
from last_edge.tasks.tokenizer import FILE
from last_edge.tasks.translator import search_options
from last_edge.text import SOS
from last_edge.train.checkpoint import ModelCard, checkpoint_folder, load_checkpoint, read_card
from last_edge.train.evaluate import load_translator

GOLDEN_FRAMES = 64
EXAMPLE_FRAMES, EXAMPLE_PAST = 37, 3
"""Sizes of the examples behind dynamic axes: any but 1."""


class Source(Protocol):
    """A checkpoint, read for export. labels: names of the logits' columns. names: of the files it gives."""

    path: Path
    card: ModelCard
    spec: InputSpec
    labels: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        ...

    def files(self, *, dynamic_time: bool = False) -> dict[str, bytes]:
        """Graphs in FP32 and what they need beside them, by file name. dynamic_time: clips of any length."""
        ...

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        """Made skeletons; of the size of a store's, where one is given."""
        ...

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """What the model itself says to golden inputs."""
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
    """See `Source`."""

    names: tuple[str, ...] = (model_file("fp32"),)

    def __init__(self, run: Path) -> None:
        self.checkpoint = load_checkpoint(run)
        self.path, self.card = self.checkpoint.path, self.checkpoint.card
        self.spec, self.labels = self.checkpoint.spec, self.checkpoint.labels
        self.model = self.checkpoint.model
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def files(self, *, dynamic_time: bool = False) -> dict[str, bytes]:
        """See `Source`."""
        graph = to_onnx(
            self.model.deployed(),
            spec=self.spec,
            labels=self.labels,
            name=self.card.name,
            dynamic_time=dynamic_time,
            features=self.model.features,
        )
        return {model_file("fp32"): graph}

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        """See `Source`."""
        size = None if store is None else size_of(plain_batch(store, clips, self.spec)[LANDMARKS], self.spec.layout)
        return golden_inputs(self.spec, self.model.features, size=size)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """See `Source`."""
        return torch_logits(self.model, inputs)

    def answers(self, store: ClipStore, clips: Clips) -> dict[str, Answers]:
        """See `Source`."""
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
        """See `validation_clips`."""
        return validation_clips(self.checkpoint, store)


class TranslatorSource:
    """See `Source`."""

    names: tuple[str, ...] = (encoder_file("fp32"), decoder_file("fp32"), TOKENIZER, SEARCH)

    def __init__(self, run: Path) -> None:
        loaded = load_translator(run)
        self.path, self.card, self.recipe = loaded.path, loaded.card, loaded.recipe
        self.spec, self.labels = loaded.translator.spec, loaded.translator.words.vocabulary.tokens
        self.model = loaded.translator.model.cpu().eval()
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def files(self, *, dynamic_time: bool = False) -> dict[str, bytes]:
        """See `Source`; any number of clips, of any length."""
        if dynamic_time:
            raise UsageError("--dynamic-time is for classifiers, this is a translator")
        model, name = self.model.deployed(), self.card.name
        options = search_options(self.recipe.translate, longest=self.model.options.longest)
        return {
            encoder_file("fp32"): self._bytes(_encoder(model), f"{name}_encoder"),
            decoder_file("fp32"): self._bytes(decoder_graph(model), f"{name}_decoder"),
            TOKENIZER: (self.path / FILE).read_bytes(),
            SEARCH: records.to_json(options).encode(),
        }

    def _bytes(self, proto: onnx.ModelProto, name: str) -> bytes:
        metadata = {"model": name, "input_sha256": self.spec.sha256}
        return bytes(tidy(proto, metadata=metadata).SerializeToString(deterministic=True))

    def golden_inputs(self, store: ClipStore | None, clips: Clips) -> Inputs:
        """See `Source`."""
        return golden_inputs(dataclasses.replace(self.spec, frames=min(GOLDEN_FRAMES, self.spec.frames)), None)

    @torch.inference_mode()
    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """Those of each clip's first sub-word."""
        points = torch.from_numpy(inputs[LANDMARKS])
        return np.asarray(self.model(points, torch.full((len(points), 1), SOS))[:, 0].numpy())

    def answers(self, store: ClipStore, clips: Clips) -> dict[str, Answers]:
        """See `Source`."""
        return {}

    def thresholds(self, files: dict[str, bytes], store: ClipStore, *, threads: int) -> dict[str, float]:
        """See `Source`."""
        return {}

    def judging(self, store: ClipStore) -> Clips:
        """Nobody."""
        return np.zeros(0, np.int64)


SOURCES: dict[str, Callable[[Path], Source]] = {"recognition": RecogniserSource, "translation": TranslatorSource}
"""By the name of a model's task."""


def read_source(run: Path) -> Source:
    """A run's best checkpoint, or a checkpoint folder."""
    card, _ = read_card(checkpoint_folder(run))
    return SOURCES[task_of(card.name).name](run)


class EncoderGraph(nn.Module):
    """landmarks (N, T, V, C) -> `MEMORY`."""

    def __init__(self, model: Sign2Text) -> None:
        super().__init__()
        self.model = model

    def forward(self, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        memory = self.model.encode(landmarks)
        return memory.keys, memory.values, memory.keep


class DecoderGraph(nn.Module):
    """token (N,), position (1,), `PAST` and `MEMORY` -> logits (N, K) and `KEPT`."""

    def __init__(self, model: Sign2Text) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token: Tensor, position: Tensor, past_keys: Tensor, past_values: Tensor, memory_keys: Tensor,
        memory_values: Tensor, memory_keep: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """See the class."""
        return self.model.step(
            token, position, (past_keys, past_values), Memory(memory_keys, memory_values, memory_keep)
        )


def _encoder(model: Sign2Text) -> onnx.ModelProto:
    free = torch.export.Dim.DYNAMIC
    spec = model.spec
    example = torch.zeros(2, EXAMPLE_FRAMES, spec.layout.joints, spec.channels)
    return _traced(EncoderGraph(model), (example,), [INPUT_NAME], MEMORY, ({0: free, 1: free},))


def decoder_graph(model: Sign2Text) -> onnx.ModelProto:
    """One step of the decoder; see `DecoderGraph`."""
    free = torch.export.Dim.DYNAMIC
    o = model.options
    past = torch.zeros(2, o.decoder_layers, o.heads, EXAMPLE_PAST, o.width // o.heads)
    memory = torch.zeros(2, o.decoder_layers, o.heads, EXAMPLE_PAST + 2, o.width // o.heads)
    tokens = torch.tensor([SOS, SOS])
    pairs = (past, past.clone(), memory, memory.clone())  # one tensor given twice would be traced as one input
    example = (tokens, torch.tensor([EXAMPLE_PAST]), *pairs, torch.ones(2, EXAMPLE_PAST + 2))
    grows, length = {0: free, 3: free}, {0: free, 1: free}
    axes: Any = ({0: free}, {}, grows, grows, grows, grows, length)
    return _traced(DecoderGraph(model), example, [TOKEN, POSITION, *PAST, *MEMORY], (OUTPUT_NAME, *KEPT), axes)


def _traced(
    module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: tuple[str, ...], axes: Any
) -> onnx.ModelProto:
    with torch.inference_mode(), quiet_export():
        program = torch.onnx.export(
            module, example, dynamo=True, opset_version=OPSET, input_names=inputs, output_names=list(outputs),
            dynamic_shapes=axes, external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    return program.model_proto
