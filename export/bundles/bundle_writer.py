"""`last-edge export`: a run becomes a bundle."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from last_edge import records
from last_edge.bundle.bundle import Bundle, Golden, with_hashes, write_bundle
from last_edge.bundle.manifest import CARD, GOLDEN, HANDS, MANIFEST, SUFFIX, WEIGHTS, Manifest, ModelInfo, Provenance
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, UsageError
from last_edge.export.bundles.sources import Source, read_source
from last_edge.export.onnx.onnx_graph import OPSET, check_opset
from last_edge.export.proof.evaluate import deployed, summarise
from last_edge.export.proof.same import check_parity, parity_rows, tolerance
from last_edge.files import check_free, sha256_of
from last_edge.inputs.features import LANDMARKS
from last_edge.machine import installed
from last_edge.models.front import fit_window
from last_edge.skeleton.clip import Units
from last_edge.tasks.registry import task_of
from last_edge.train.checkpoint import RECIPE
from last_edge.train.checkpoint import WEIGHTS as TRAINED
from last_edge.train.environment import commit
from last_edge.train.recipe import read_yaml

EXPORTERS = ("last-edge", "torch", "onnx", "onnxscript", "onnxslim", "onnxruntime")
USUAL_AXES: dict[Units, str] = {
    "image01": "x right, y down, z (where there is one) away, all divided by the image height",
    "metres": "as the sensor gives them",
}


def export_run(
    run: Path, out: Path, *, store: ClipStore | None = None, split: str = "test", dynamic_time: bool = False,
    weights: bool = False, hands: str = "", licence: str = "", opset: int = OPSET, threads: int = 1,
    force: bool = False,
) -> Manifest:  # fmt: skip
    """Write the bundle of a run's best checkpoint (or of a checkpoint folder) to `out`, FP32 alone.

    store: measures the files on its `split`, gives axes and licence and, when the run held people of it out, what a
    recogniser's answers are worth. dynamic_time: the graph takes clips of any length and resamples them itself.
    weights: the bundle takes the checkpoint's float weights along, to train on from. hands: see `Manifest.hands`.
    licence: terms of the weights; those of the store where nothing is said.
    opset: the operator set of the graph, for runtimes that know no newer one.
    threads: of the measuring.
    Raises `GateError` when the files do not compute what the model does, `UsageError` when `out` exists and not
    `force`.
    """
    if hands not in HANDS:
        raise UsageError("no such hands", expected=", ".join(HANDS[1:]), got=hands)
    check_opset(opset)
    check_free(out, force=force, marker="" if out.suffix == SUFFIX else MANIFEST)
    source = read_source(run)
    task, clips = task_of(source.card.name), np.zeros(0, np.int64)
    if store is not None:
        store = task.check_store(store, source.spec, source.labels)
        clips = task.clips(store, split)
    files = source.files(dynamic_time=dynamic_time, opset=opset)
    card, about = source.card, {} if store is None else store.about
    described = Manifest(
        name=out.name.removesuffix(SUFFIX),
        model=ModelInfo(card.name, card.options, source.parameters, OPSET),
        files={},
        input=source.spec,
        units=card.units,
        axes=str(about.get("axes") or USUAL_AXES.get(card.units, "unknown")),  # type: ignore[call-overload]
        labels=source.labels,
        provenance=provenance_of(source),
        licence=licence or str(about.get("licence") or "that of the training data"),
        stream=source.stream,
    )
    manifest = dataclasses.replace(described, hands=hands, model=dataclasses.replace(described.model, opset=opset))
    draft = Bundle(out, with_hashes(manifest, files), files)
    inputs = source.golden_inputs(store, clips)
    if dynamic_time:  # such a graph cuts off what shows nothing: a window that its clip fills is taken as it is
        windows = fit_window(torch.from_numpy(inputs[LANDMARKS]), source.spec.frames)
        inputs = {**inputs, LANDMARKS: windows.numpy()}
    logits = {"torch": source.logits(inputs), "fp32": deployed(draft, "fp32").logits(inputs)}
    golden = Golden(inputs, logits, source.states(inputs))
    check_parity(golden.logits["torch"], golden.logits["fp32"], precision="fp32", where=out)
    manifest = dataclasses.replace(
        manifest,
        tolerances={"fp32": tolerance("fp32", golden.logits["fp32"])},
        parity=parity_rows(golden.logits, on="golden"),
    )
    if store is not None:
        one = deployed(draft, "fp32", threads=threads)
        said = one.answers(store, clips)
        rows = parity_rows({**source.answers(store, clips), "fp32": said}, on=split)
        manifest = dataclasses.replace(
            manifest,
            metrics={
                "fp32": summarise(draft.manifest, said, store, clips, split=split, events=one.events(store, clips)),
            },
            parity=(*manifest.parity, *rows),
            thresholds=source.thresholds(files, store, threads=threads),
        )
    extras = {WEIGHTS: (source.path / TRAINED).read_bytes()} if weights else {}
    return write_bundle(out, manifest, files={**files, **extras, GOLDEN: golden.to_bytes()}, force=force)


def preview_export(
    run: Path, out: Path, *, store: ClipStore | None, split: str, weights: bool = False, force: bool
) -> dict[str, Any]:
    """The files that `export_run` would write, from what, measured on how many clips; raises as it would."""
    check_free(out, force=force)
    source = read_source(run)
    provenance_of(source)
    said: dict[str, Any] = {
        "would_write": str(out), "files": [*source.names, *([WEIGHTS] if weights else []), MANIFEST, GOLDEN, CARD],
        "model": source.card.name, "checkpoint": str(source.path), "clips_measured": 0, "clips_for_threshold": 0,
    }  # fmt: skip
    if store is None:
        return said
    task = task_of(source.card.name)
    store = task.check_store(store, source.spec, source.labels)
    threshold = len(source.judging(store))
    return {**said, "clips_measured": len(task.clips(store, split)), "clips_for_threshold": threshold}


def provenance_of(source: Source) -> Provenance:
    """Commits, data, weights, seed and versions; `InputError` names a damaged `env.json` or `recipe.yaml`."""
    facts, recipe = source.path / "env.json", source.path / RECIPE
    environment = records.read_json(facts) if facts.exists() else {}
    if not isinstance(environment, dict):
        raise InputError("not a mapping of names to values", where=facts, got=type(environment).__name__)
    seed = read_yaml(recipe).get("seed") if recipe.exists() else None
    if seed is not None and not isinstance(seed, int):
        raise InputError("seed is not a whole number", where=recipe, got=seed)
    return Provenance(
        commit=commit() or "",
        trained_commit=str(environment.get("commit") or ""),
        data_sha256=source.card.store_sha256,
        checkpoint_sha256=sha256_of(source.path / "model.safetensors"),
        seeds={} if seed is None else {"training": seed},
        versions={package: installed(package) or "unknown" for package in EXPORTERS},
    )
