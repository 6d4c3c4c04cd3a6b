"""How far two forms of one model are apart: torch, FP32 file, INT8 file. Only what asks torch loads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import GateError, InputError, UsageError
from last_edge.export.proof.evaluate import check_store, deployed
from last_edge.export.proof.same import Logits, ParityRow, disagreement, family, parity_rows
from last_edge.files import sha256_of
from last_edge.inputs.features import Inputs, batches
from last_edge.tasks.registry import task_of_bundle

if TYPE_CHECKING:
    from torch import nn

    from last_edge.train.checkpoint import Checkpoint

BATCH = 64


def torch_logits(model: nn.Module, inputs: Inputs) -> Logits:
    """(n, K) logits of a torch model for the same inputs as a graph takes."""
    import torch

    with torch.inference_mode():
        parts = [model(*map(torch.from_numpy, batch.values())).numpy() for batch in batches(inputs, BATCH)]
    return np.concatenate(parts)


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
    check_store(bundle, store)
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
