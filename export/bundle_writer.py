"""`last-edge export` and `last-edge quantize`: a run becomes a bundle, a bundle gains its INT8 file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.archive import SUFFIX
from last_edge.bundle.golden import Golden
from last_edge.bundle.manifest import CARD, GOLDEN, MANIFEST, Figure, Manifest, ModelInfo, model_file
from last_edge.bundle.writer import rewrite_bundle, write_bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips, plain_batch
from last_edge.export.accept import accept_threshold, validation_clips
from last_edge.export.calibration import calibration_clips, clip_ids
from last_edge.export.card import render_card
from last_edge.export.evaluate import check_store, checked_graph, summarise
from last_edge.export.fold import fold
from last_edge.export.golden_points import golden_points, size_of
from last_edge.export.onnx_graph import OPSET, to_onnx
from last_edge.export.origin import provenance_of
from last_edge.export.parity import check_parity, parity_rows, tolerance, torch_logits
from last_edge.export.preview import open_for_int8
from last_edge.export.quantize import QuantizeOptions, quantize_graph
from last_edge.export.rejection import rejection_thresholds
from last_edge.export.session import logits_of
from last_edge.files import check_free
from last_edge.skeleton.clip import Units
from last_edge.train.checkpoint import Checkpoint, load_checkpoint

USUAL_AXES: dict[Units, str] = {
    "image01": "x right, y down, z (where there is one) away, all divided by the image height",
    "metres": "as the sensor gives them",
}


@dataclass(frozen=True)
class Measured:
    """The clips that a bundle is measured on: their numbers, windows and split."""

    store: ClipStore
    clips: NDArray[np.int64]
    points: NDArray[np.float32]
    split: str


def export_run(
    run: Path, out: Path, *, store: ClipStore | None = None, split: str = "test", threads: int = 1, force: bool = False
) -> Manifest:
    """Write the bundle of a run's best checkpoint (or of a checkpoint folder) to `out`, FP32 alone.

    store: measures the file on its `split`, gives axes and licence and, when the run held people of it out, the least
    probability worth reporting. threads: of the measuring. Raises `GateError` when the file
    does not compute what the model does, `UsageError` when `out` exists and not `force`.
    """
    check_free(out, force=force, marker="" if out.suffix == SUFFIX else MANIFEST)
    checkpoint = load_checkpoint(run)
    if store is not None:
        check_fits(store, checkpoint.spec, checkpoint.labels)
    name = out.name.removesuffix(".last")
    graph = to_onnx(fold(checkpoint.model), spec=checkpoint.spec, labels=checkpoint.labels, name=checkpoint.card.name)
    measured = None if store is None else _measured(store, split, checkpoint.spec)
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
    files = _files(manifest, {"fp32": graph}, golden)
    return write_bundle(out, manifest, files=files, force=force)


def quantize_bundle(
    path: Path,
    store: ClipStore,
    *,
    options: QuantizeOptions | None = None,
    count: int = 1000,
    seed: int = 0,
    split: str = "test",
    threads: int = 1,
    force: bool = False,
) -> Manifest:
    """Add the INT8 graph to a bundle in place, and measure both precisions on `split` of the store.

    count, seed: how many training clips find the ranges and which. threads: of the measuring; the ranges are found
    on one, so that the file does not depend on it. Raises `UsageError` when the bundle has an INT8 file and not
    `force`, `InputError` when the store is damaged or not of the bundle's kind.
    """
    bundle, options = open_for_int8(path, force=force), options or QuantizeOptions()
    check_store(bundle, store)
    store.verify()
    chosen = calibration_clips(store, count=count, seed=seed)
    graph = checked_graph(bundle, "fp32")
    graphs = {"fp32": graph, "int8": quantize_graph(graph, plain_batch(store, chosen, bundle.manifest.input), options)}
    golden = bundle.golden
    golden = Golden(golden.points, {**golden.logits, "int8": logits_of(graphs["int8"], golden.points)})
    manifest = dataclasses.replace(
        bundle.manifest,
        calibration={**_plain(options), "seed": seed, "store_sha256": store.sha256},
        calibration_ids=clip_ids(store, chosen),
        tolerances={**bundle.manifest.tolerances, "int8": tolerance("int8", golden.logits["int8"])},
    )
    manifest = _measure_both(manifest, graphs, golden, _measured(store, split, manifest.input), threads=threads)
    return rewrite_bundle(path, manifest, files=_files(manifest, graphs, golden))


def _measured(store: ClipStore, split: str, spec: Any) -> Measured:
    clips = labelled_clips(store, split)
    return Measured(store, clips, plain_batch(store, clips, spec), split)


def _golden(checkpoint: Checkpoint, graph: bytes, measured: Measured | None) -> Golden:
    size = None if measured is None else size_of(measured.points, checkpoint.spec.layout)
    points = golden_points(checkpoint.spec, size=size)
    logits = {"torch": torch_logits(checkpoint.model, points), "fp32": logits_of(graph, points)}
    return Golden(points, logits)


def _thresholds(checkpoint: Checkpoint, graph: bytes, store: ClipStore, threads: int) -> dict[str, float]:
    """What the answers are worth by clips of held-out people; empty, which leaves it to the runtime, without any."""
    clips = validation_clips(checkpoint, store)
    if not len(clips):
        return {}
    logits = logits_of(graph, plain_batch(store, clips, checkpoint.spec), threads=threads)
    rejection = rejection_thresholds(graph, logits, store=store, clips=clips, spec=checkpoint.spec, threads=threads)
    return {**accept_threshold(logits / rejection["temperature"], store.index.label[clips]), **rejection}


def _with_figures(
    manifest: Manifest, checkpoint: Checkpoint, graph: bytes, measured: Measured, *, threads: int
) -> Manifest:
    """Add accuracy and parity on the measured split."""
    points = measured.points
    logits = {"torch": torch_logits(checkpoint.model, points), "fp32": logits_of(graph, points, threads=threads)}
    figures = summarise(logits["fp32"], measured.store, measured.clips, split=measured.split)
    rows = parity_rows(logits, on=measured.split)
    return dataclasses.replace(manifest, metrics={"fp32": figures}, parity=(*manifest.parity, *rows))


def _measure_both(
    manifest: Manifest, graphs: dict[str, bytes], golden: Golden, measured: Measured, *, threads: int
) -> Manifest:
    """Accuracy of both files on one split; parity rows that name INT8 are made anew."""
    logits = {precision: logits_of(graph, measured.points, threads=threads) for precision, graph in graphs.items()}
    metrics = {
        name: summarise(values, measured.store, measured.clips, split=measured.split) for name, values in logits.items()
    }
    kept = tuple(row for row in manifest.parity if "int8" not in str(row["pair"]))
    made = (*parity_rows(golden.logits, on="golden"), *parity_rows(logits, on=measured.split))
    rows = (*kept, *(row for row in made if "int8" in str(row["pair"])))
    return dataclasses.replace(manifest, metrics=metrics, parity=rows)


def _files(manifest: Manifest, graphs: dict[str, bytes], golden: Golden) -> dict[str, bytes]:
    named = {model_file(precision): graph for precision, graph in graphs.items()}
    listed = dataclasses.replace(manifest, files=dict.fromkeys(named, ""))
    card = render_card(listed, sizes={precision: len(graph) for precision, graph in graphs.items()})
    return {**named, GOLDEN: golden.to_bytes(), CARD: card.encode()}


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


def _plain(options: QuantizeOptions) -> dict[str, Figure]:
    """Options as the manifest's figures; those that had no say are left out."""
    plain: dict[str, Figure] = {"method": options.method, "float_head": str(options.float_head).lower()}
    if options.method == "percentile":
        plain["percentile"] = options.percentile
    if options.keep_float:
        plain["keep_float"] = " ".join(options.keep_float)
    return plain
