"""How far two forms of one model are apart: torch, FP32 and INT8 file, each backend. Only what asks torch loads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips, plain_batch
from last_edge.errors import GateError, InputError, LastEdgeError, MissingError, UsageError
from last_edge.export.proof import same
from last_edge.export.proof.evaluate import check_store, deployed
from last_edge.export.proof.same import Logits, ParityRow, compare, disagreement, family, parity_rows
from last_edge.files import sha256_of
from last_edge.inputs.features import Inputs, batches
from last_edge.names import check_known
from last_edge.runtime.backends import BACKENDS, Backend, OnnxRuntimeCpu
from last_edge.runtime.recognise.model import artefact_of, how_to_make
from last_edge.tasks.metrics import top_k
from last_edge.tasks.registry import task_of_bundle

if TYPE_CHECKING:
    from torch import nn

    from last_edge.train.checkpoint import Checkpoint

BATCH = 64
ALL = "all"
GOLDEN = "golden"
MOST_FP32 = 1e-4
# INT8 kernels fuse and round in places of their own: share of the largest logit that a backend may be off the file's
# golden logits. Clips of a store judge it better, by their answers.
MOST_INT8 = 0.25


def torch_logits(model: nn.Module, inputs: Inputs) -> Logits:
    """(n, K) logits of a torch model for the same inputs as a graph takes; of streams those of all frames in turn."""
    import torch

    with torch.inference_mode():
        answers = [model(*map(torch.from_numpy, batch.values())) for batch in batches(inputs, BATCH)]
    parts = [answer if isinstance(answer, torch.Tensor) else answer.logits.flatten(0, 1) for answer in answers]
    return np.concatenate([part.numpy() for part in parts])


def bundle_parity(
    path: Path, *, store: ClipStore | None = None, run: Path | None = None, split: str = "test", threads: int = 1
) -> tuple[ParityRow, ...]:
    """Rows of a bundle's graphs as they compute now, on its golden inputs and, with a store, on a split of it.

    run: the run that the bundle came from; without it torch enters by its recorded golden logits alone.
    threads: of the graphs.
    """
    bundle = Bundle.open(path).recogniser()
    if run is not None and bundle.manifest.stream is not None:
        hint = "without --run: the network's own logits are among the golden ones"
        raise UsageError("--run is for classifiers of clips", where=path, hint=hint)
    files = {precision: deployed(bundle, precision, threads=threads) for precision in bundle.precisions}
    model = None if run is None else same_model(bundle, run)
    inputs = bundle.golden.inputs
    golden = {name: one.logits(inputs) for name, one in files.items()}
    golden["torch"] = bundle.golden.logits["torch"] if model is None else torch_logits(model, inputs)
    rows = parity_rows(golden, on="golden")
    if store is None:
        return rows
    store = check_store(bundle, store)
    clips = task_of_bundle(bundle.manifest).clips(store, split)
    answers = {name: one.answers(store, clips) for name, one in files.items()}
    if model is not None:
        inputs = plain_batch(store, clips, bundle.manifest.input, bundle.manifest.features)
        answers["torch"] = torch_logits(model, inputs)
    return (*rows, *parity_rows(answers, on=split))


def same_model(bundle: Bundle, run: Path) -> nn.Module:
    """The run's model; raises as `same_checkpoint`."""
    return same_checkpoint(bundle, run).model


def same_checkpoint(bundle: Bundle, run: Path) -> Checkpoint:
    """The run's checkpoint; `InputError` when its weights are not those of the bundle."""
    from last_edge.train.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(run)
    expected = bundle.manifest.provenance.checkpoint_sha256
    got = sha256_of(checkpoint.path / "model.safetensors")
    if got != expected:
        raise InputError("the bundle was made from other weights", where=checkpoint.path, expected=expected, got=got)
    return checkpoint


def check_rows(rows: Iterable[ParityRow], calibration: Mapping[str, Figure], *, where: object) -> None:
    """`GateError` naming the pairs that agree on too few clips. calibration: of the manifest, see `disagreement`.

    INT8 is judged on clips of a store alone: the golden inputs are made skeletons that lie between the classes.
    """
    judged = [row for row in rows if (family(str(row["pair"])), row["on"]) != ("fp32:int8", "golden")]
    failed = [f"{row['pair']} on {row['on']}: {wrong}" for row in judged if (wrong := disagreement(row, calibration))]
    if failed:
        raise GateError("parity failed", where=where, got="; ".join(failed))


@dataclass(frozen=True)
class ParityCell:
    """One backend and precision on one set of inputs.

    reference: what its logits are compared with: `torch`, else the FP32 file in ONNX Runtime. on: `golden` or a split.
    n, max_abs, mean_abs, agreement: as in a manifest's parity rows; top1: percent, of labelled clips. None where it
    did not run, and `note` says why. holds: whether the gate lets it pass; None where there was nothing to judge.
    """

    backend: str
    version: str
    precision: str
    on: str
    reference: str
    holds: bool | None
    note: str = ""
    n: int = 0
    max_abs: float | None = None
    mean_abs: float | None = None
    agreement: float | None = None
    top1: float | None = None
    schema_version: int = 1


@dataclass(frozen=True)
class Reference:
    """Clips that every backend gets, and what is known of them: reference logits, classes.

    calibration: of the manifest, with the limit that INT8 was shipped at.
    """

    on: str
    inputs: Inputs
    logits: Logits
    named: str
    labels: NDArray[np.int64] | None = None
    golden: dict[str, Logits] | None = None
    calibration: dict[str, Figure] = field(default_factory=dict)


def parity_matrix(
    path: Path, backends: Sequence[str], *, store: ClipStore | None = None, run: Path | None = None,
    split: str = "test", threads: int = 1,
) -> list[ParityCell]:  # fmt: skip
    """One cell a backend, precision and set of inputs: the golden ones and, with a store, a split of it.

    backends: names, or `all`, which lists the absent ones too, one cell each. run: the bundle's run; torch is then the
    reference on the split too. `UsageError` for an unknown backend, `MissingError` for a named one that is absent.
    """
    bundle, chosen = Bundle.open(path).recogniser(), choose_backends(backends)
    here = [backend for backend in chosen if backend.is_available()]
    cells = [
        _cell(bundle, backend, precision, reference, threads)
        for reference in _references(bundle, store, run, split, threads)
        for backend in here
        for precision in bundle.precisions
    ]
    absent = [backend for backend in chosen if backend not in here]
    return [*cells, *(ParityCell(each.name, "", "", "", "", None, each.why_not()) for each in absent)]


def choose_backends(names: Sequence[str]) -> list[type[Backend]]:
    """Backends by name; `all` stands for every one there is a file for, here or not."""
    for name in names:
        check_known(name, (ALL, *BACKENDS), "backend")
        if name != ALL:
            BACKENDS[name].require()
    return [backend for name, backend in BACKENDS.items() if ALL in names or name in names]


def check_cells(cells: Sequence[ParityCell], *, where: object) -> None:
    """`GateError` naming every cell that does not hold; `MissingError` when nothing at all was compared."""
    failed = [f"{cell.backend} {cell.precision} on {cell.on}: {cell.note}" for cell in cells if cell.holds is False]
    if failed:
        raise GateError("parity failed", where=where, got="; ".join(failed))
    if not any(cell.n for cell in cells):
        raise MissingError("no backend could run", where=where, got="; ".join(sorted({cell.note for cell in cells})))


def _references(
    bundle: Bundle, store: ClipStore | None, run: Path | None, split: str, threads: int
) -> Iterator[Reference]:
    golden = bundle.golden
    named = "torch" if "torch" in golden.logits else "recorded fp32"
    reference = golden.logits.get("torch", golden.logits.get("fp32"))
    if reference is None:
        raise InputError("the bundle has no golden logits to compare with", where=bundle.path)
    yield Reference(GOLDEN, golden.inputs, reference, named, golden=golden.logits)
    if store is None:
        return
    check_store(bundle, store)
    clips = labelled_clips(store, split)
    inputs = plain_batch(store, clips, bundle.manifest.input, bundle.manifest.features)
    if run is None:
        logits, named = deployed(bundle, "fp32", threads=threads).logits(inputs), OnnxRuntimeCpu.name
    else:
        logits, named = torch_logits(same_model(bundle, run), inputs), "torch"
    limits = bundle.manifest.calibration
    yield Reference(split, inputs, logits, named, labels=store.index.label[clips], calibration=limits)


def _cell(bundle: Bundle, backend: type[Backend], precision: str, reference: Reference, threads: int) -> ParityCell:
    cell = ParityCell(backend.name, backend.version(), precision, reference.on, reference.named, None)
    try:
        graph = artefact_of(bundle, backend, precision)
        if graph is None:
            return replace(cell, note=f"not in the bundle: {how_to_make(backend)}")
        logits = _run(backend, graph, reference.inputs, threads)
    except LastEdgeError as error:
        return replace(cell, holds=False, note=error.what)
    if logits.shape != reference.logits.shape:
        return replace(cell, holds=False, note=f"logits {logits.shape}, not {reference.logits.shape}")
    rows = compare(reference.logits, logits)
    wrong = fault(precision, logits, reference)
    return replace(
        cell, holds=not wrong, note=wrong, n=len(logits), max_abs=float(rows["max_abs"]),
        mean_abs=float(rows["mean_abs"]), agreement=float(rows["agreement"]),
        top1=None if reference.labels is None else top_k(logits, reference.labels, 1),
    )  # fmt: skip


def _run(backend: type[Backend], graph: bytes, inputs: Inputs, threads: int) -> Logits:
    model = backend(graph, threads=threads)
    return np.concatenate([model.run(batch) for batch in batches(inputs, BATCH)])


def fault(precision: str, logits: Logits, reference: Reference) -> str:
    """Why these logits (n, K) must not pass; empty when they may.

    FP32 is held to the reference, INT8 to the file's own golden logits and, on clips, to the reference's answers.
    """
    wrong = same.fault(logits, reference.logits, most=MOST_FP32 if precision == "fp32" else np.inf)
    if wrong or precision == "fp32":
        return wrong
    if reference.golden is None:
        return disagreement({"pair": "fp32:int8", **compare(reference.logits, logits)}, reference.calibration)
    own = reference.golden.get(precision)
    return same.fault(logits, own, most=0.0 if own is None else MOST_INT8 * max(float(np.abs(own).max()), 1.0))
