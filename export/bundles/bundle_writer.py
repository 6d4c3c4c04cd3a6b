"""`last-edge export`: a run becomes a bundle."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import SUFFIX, write_bundle
from last_edge.bundle.golden import Golden
from last_edge.bundle.manifest import GOLDEN, MANIFEST, WEIGHTS, Manifest, ModelInfo, model_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips, plain_batch
from last_edge.export.bundles.accept import accept_threshold, validation_clips
from last_edge.export.bundles.origin import provenance_of
from last_edge.export.bundles.rejection import rejection_thresholds
from last_edge.export.onnx.onnx_graph import OPSET, to_onnx
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.evaluate import summarise
from last_edge.export.proof.golden_points import golden_inputs, size_of
from last_edge.export.proof.parity import check_parity, parity_rows, tolerance, torch_logits
from last_edge.files import check_free
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.skeleton.clip import Units
from last_edge.train.checkpoint import WEIGHTS as TRAINED
from last_edge.train.checkpoint import Checkpoint, load_checkpoint

USUAL_AXES: dict[Units, str] = {
    "image01": "x right, y down, z (where there is one) away, all divided by the image height",
    "metres": "as the sensor gives them",
}


@dataclass(frozen=True)
class Measured:
    """The clips that a bundle is measured on: their numbers, inputs and split."""

    store: ClipStore
    clips: NDArray[np.int64]
    inputs: Inputs
    split: str


def export_run(
    run: Path,
    out: Path,
    *,
    store: ClipStore | None = None,
    split: str = "test",
    dynamic_time: bool = False,
    weights: bool = False,
    threads: int = 1,
    force: bool = False,
) -> Manifest:
    """Write the bundle of a run's best checkpoint (or of a checkpoint folder) to `out`, FP32 alone.

    store: measures the file on its `split`, gives axes and licence and, when the run held people of it out, the least
    probability worth reporting. dynamic_time: the graph takes clips of any length and resamples them itself.
    weights: the bundle takes the checkpoint's float weights along, to train on from. threads: of the measuring.
    Raises `GateError` when the file does not compute what the model does, `UsageError` when `out` exists and not
    `force`.
    """
    check_free(out, force=force, marker="" if out.suffix == SUFFIX else MANIFEST)
    checkpoint = load_checkpoint(run)
    if store is not None:
        check_fits(store, checkpoint.spec, checkpoint.labels)
    measured = None if store is None else _measured(store, split, checkpoint)
    name = out.name.removesuffix(".last")
    graph = to_onnx(
        checkpoint.model.deployed(),
        spec=checkpoint.spec,
        labels=checkpoint.labels,
        name=checkpoint.card.name,
        dynamic_time=dynamic_time,
        features=checkpoint.model.features,
    )
    golden = _golden(checkpoint, graph, measured)
    check_parity(golden.logits["torch"], golden.logits["fp32"], precision="fp32", where=out)
    manifest = dataclasses.replace(
        _describe(checkpoint, name, store),
        tolerances={"fp32": tolerance("fp32", golden.logits["fp32"])},
        parity=parity_rows(golden.logits, on="golden"),
    )
    if measured is not None:
        manifest = _with_figures(manifest, checkpoint, graph, measured, threads=threads)
        manifest = dataclasses.replace(manifest, thresholds=_thresholds(checkpoint, graph, measured.store, threads))
    extras = {WEIGHTS: (checkpoint.path / TRAINED).read_bytes()} if weights else {}
    files = {model_file("fp32"): graph, **extras, GOLDEN: golden.to_bytes()}
    return write_bundle(out, manifest, files=files, force=force)


def _measured(store: ClipStore, split: str, checkpoint: Checkpoint) -> Measured:
    clips = labelled_clips(store, split)
    return Measured(store, clips, plain_batch(store, clips, checkpoint.spec, checkpoint.model.features), split)


def _golden(checkpoint: Checkpoint, graph: bytes, measured: Measured | None) -> Golden:
    size = None if measured is None else size_of(measured.inputs[LANDMARKS], checkpoint.spec.layout)
    inputs = golden_inputs(checkpoint.spec, checkpoint.model.features, size=size)
    logits = {"torch": torch_logits(checkpoint.model, inputs), "fp32": logits_of(graph, inputs)}
    return Golden(inputs, logits)


def _thresholds(checkpoint: Checkpoint, graph: bytes, store: ClipStore, threads: int) -> dict[str, float]:
    """What the answers are worth by clips of held-out people; empty, which leaves it to the runtime, without any.

    Of a model with a second input empty too: what is made between clips has no features.
    """
    clips = validation_clips(checkpoint, store)
    if not len(clips) or checkpoint.model.features is not None:
        return {}
    logits = logits_of(graph, plain_batch(store, clips, checkpoint.spec), threads=threads)
    rejection = rejection_thresholds(graph, logits, store=store, clips=clips, spec=checkpoint.spec, threads=threads)
    return {**accept_threshold(logits / rejection["temperature"], store.index.label[clips]), **rejection}


def _with_figures(
    manifest: Manifest, checkpoint: Checkpoint, graph: bytes, measured: Measured, *, threads: int
) -> Manifest:
    """Add accuracy and parity on the measured split."""
    inputs = measured.inputs
    logits = {"torch": torch_logits(checkpoint.model, inputs), "fp32": logits_of(graph, inputs, threads=threads)}
    figures = summarise(logits["fp32"], measured.store, measured.clips, split=measured.split)
    rows = parity_rows(logits, on=measured.split)
    return dataclasses.replace(manifest, metrics={"fp32": figures}, parity=(*manifest.parity, *rows))


def _describe(checkpoint: Checkpoint, name: str, store: ClipStore | None) -> Manifest:
    card, about = checkpoint.card, {} if store is None else store.about
    params = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    return Manifest(
        name=name,
        model=ModelInfo(card.name, card.options, params, OPSET),
        files={},
        input=checkpoint.spec,
        units=card.units,
        axes=str(about.get("axes") or USUAL_AXES.get(card.units, "unknown")),  # type: ignore[call-overload]
        labels=checkpoint.labels,
        provenance=provenance_of(checkpoint),
        licence=str(about.get("licence") or "that of the training data"),
    )
