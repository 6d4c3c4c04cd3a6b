"""A translator's bundle: an encoder and a decoder that goes word by word, held to the torch model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge import records
from last_edge.bundle.bundle import SUFFIX, Bundle, with_hashes, write_bundle
from last_edge.bundle.golden import Golden
from last_edge.bundle.manifest import (
    GOLDEN,
    INPUT_NAME,
    KEPT,
    MANIFEST,
    MEMORY,
    OUTPUT_NAME,
    PAST,
    POSITION,
    SEARCH,
    TOKEN,
    TOKENIZER,
    Manifest,
    ModelInfo,
    decoder_file,
    encoder_file,
)
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.errors import GateError
from last_edge.export.bundles.bundle_writer import USUAL_AXES
from last_edge.export.bundles.origin import provenance_of
from last_edge.export.onnx.onnx_graph import OPSET, quiet_export, tidy
from last_edge.export.proof.golden_points import golden_points
from last_edge.export.proof.translation_figures import bundle_figures
from last_edge.files import check_free
from last_edge.inputs.features import LANDMARKS
from last_edge.models.sign2text import Memory, Sign2Text
from last_edge.runtime.translator import Translator
from last_edge.tasks.tokenizer import FILE
from last_edge.tasks.translator import search_options
from last_edge.text import SOS
from last_edge.train.evaluate import LoadedTranslator, load_translator

TOLERANCE = 1e-4
GOLDEN_FRAMES = 64
EXAMPLE_FRAMES, EXAMPLE_PAST = 37, 3
"""Sizes of the examples behind dynamic axes: any but 1."""


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


def export_translation(
    run: Path, out: Path, *, store: ClipStore | None = None, split: str = "test", threads: int = 1, force: bool = False
) -> Manifest:
    """Write the bundle of a translator's best checkpoint; with a store its figures on a split.

    Raises `GateError` when the files do not compute what the model does, `UsageError` when `out` is taken.
    """
    check_free(out, force=force, marker="" if out.suffix == SUFFIX else MANIFEST)
    loaded = load_translator(run)
    if store is not None:
        check_points(store, loaded.translator.spec)
    files = {**graphs_of(loaded), **_texts(loaded)}
    manifest = _manifest(loaded, out.name.removesuffix(SUFFIX), store)
    draft = Bundle(out, with_hashes(manifest, files), files)
    deployed = Translator.of(draft, precision="fp32", threads=threads)
    golden = _golden(loaded, deployed)
    check_same(golden, where=out)
    figures = {} if store is None else {"fp32": bundle_figures(deployed, store, split=split)}
    worst = float(np.abs(golden.logits["fp32"] - golden.logits["torch"]).max())
    row: dict[str, Any] = {"pair": "torch/fp32", "on": "golden", "n": len(golden.points), "max_abs": worst}
    manifest = dataclasses.replace(manifest, metrics=figures, parity=(row,), tolerances={"fp32": TOLERANCE})
    return write_bundle(out, manifest, files={**files, GOLDEN: golden.to_bytes()}, force=force)


def graphs_of(loaded: LoadedTranslator) -> dict[str, bytes]:
    """Both graphs in FP32; any number of clips, of any length."""
    model, name = loaded.translator.model.cpu().eval().deployed(), loaded.card.name
    return {
        encoder_file("fp32"): _bytes(_encoder(model), f"{name}_encoder", loaded),
        decoder_file("fp32"): _bytes(decoder_graph(model), f"{name}_decoder", loaded),
    }


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


def _bytes(proto: onnx.ModelProto, name: str, loaded: LoadedTranslator) -> bytes:
    metadata = {"model": name, "input_sha256": loaded.translator.spec.sha256}
    return bytes(tidy(proto, metadata=metadata).SerializeToString(deterministic=True))


def _texts(loaded: LoadedTranslator) -> dict[str, bytes]:
    options = search_options(loaded.recipe.translate, longest=loaded.translator.model.options.longest)
    return {TOKENIZER: (loaded.path / FILE).read_bytes(), SEARCH: records.to_json(options).encode()}


def _golden(loaded: LoadedTranslator, deployed: Translator) -> Golden:
    """Made skeletons, and the logits of their first sub-word from the model and from the files."""
    short = dataclasses.replace(loaded.translator.spec, frames=min(GOLDEN_FRAMES, loaded.translator.spec.frames))
    points = golden_points(short)
    logits = {"torch": first_logits(loaded.translator.model, points), "fp32": deployed.first_logits(points)}
    return Golden({LANDMARKS: points}, logits)


@torch.inference_mode()
def first_logits(model: Sign2Text, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, K) logits of each clip's first sub-word."""
    return np.asarray(model(torch.from_numpy(points), torch.full((len(points), 1), SOS))[:, 0].numpy())


def check_same(golden: Golden, *, where: Path) -> None:
    """`GateError` unless the files' logits are the model's, to `TOLERANCE` of the largest."""
    apart = float(np.abs(golden.logits["fp32"] - golden.logits["torch"]).max())
    limit = TOLERANCE * float(np.abs(golden.logits["torch"]).max())
    if not apart <= limit:
        raise GateError("the exported files do not compute what the model does", where=where, expected=limit, got=apart)


def _manifest(loaded: LoadedTranslator, name: str, store: ClipStore | None) -> Manifest:
    card, about = loaded.card, {} if store is None else store.about
    model = loaded.translator.model
    return Manifest(
        name=name,
        model=ModelInfo(card.name, card.options, sum(p.numel() for p in model.parameters()), OPSET),
        files={},
        input=loaded.translator.spec,
        units=card.units,
        axes=str(about.get("axes") or USUAL_AXES.get(card.units, "unknown")),  # type: ignore[call-overload]
        labels=loaded.translator.words.vocabulary.tokens,
        provenance=provenance_of(loaded),
        licence=str(about.get("licence") or "that of the training data"),
    )
