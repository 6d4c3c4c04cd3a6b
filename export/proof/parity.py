"""How far two forms of one model are apart: torch, FP32 file, INT8 file. Only what asks torch loads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import Figure
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips, plain_batch
from last_edge.errors import GateError, InputError
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.evaluate import check_store, checked_graph
from last_edge.files import sha256_of
from last_edge.inputs.features import Inputs, batches

if TYPE_CHECKING:
    from torch import nn

    from last_edge.train.checkpoint import Checkpoint

Logits = NDArray[np.float32]
BATCH = 64
# Share of the largest logit that another backend may be off: rounding for FP32, one more rounding a layer for INT8.
RELATIVE_TOLERANCE = {"fp32": 1e-4, "int8": 0.05}
ORDER = ("torch", "fp32", "int8")
# Share of clips, in percent, that must get the same answer; one clip may always differ.
LEAST_AGREEMENT = {"torch:fp32": 99.9, "fp32:int8": 97.0}


def compare(reference: Logits, other: Logits) -> dict[str, Figure]:
    """Largest and mean |difference| of logits (n, K), and the share of clips with the same top class in percent."""
    gap = np.abs(reference.astype(np.float64) - other)
    same = reference.argmax(1) == other.argmax(1)
    return {
        "n": len(reference),
        "max_abs": round(float(gap.max()), 9),
        "mean_abs": round(float(gap.mean()), 9),
        "agreement": round(100.0 * float(same.mean()), 3),
    }


def parity_rows(logits: dict[str, Logits], *, on: str) -> tuple[dict[str, Figure], ...]:
    """A row for each neighbouring pair of torch, fp32, int8, and for fp32 with every other INT8; on: which inputs."""
    have = [name for name in ORDER if name in logits]
    others = sorted(name for name in logits if name.startswith("int8-"))
    pairs = [*zip(have, have[1:], strict=False), *(("fp32", name) for name in others if "fp32" in logits)]
    return tuple({"pair": f"{one}:{other}", "on": on, **compare(logits[one], logits[other])} for one, other in pairs)


def torch_logits(model: nn.Module, inputs: Inputs) -> Logits:
    """(n, K) logits of a torch model for the same inputs as a graph takes."""
    import torch

    with torch.inference_mode():
        parts = [model(*map(torch.from_numpy, batch.values())).numpy() for batch in batches(inputs, BATCH)]
    return np.concatenate(parts)


def family(name: str) -> str:
    """A precision or pair without the target that an INT8 file is for: `fp32:int8-arm64` is judged as `fp32:int8`."""
    return name.partition("-")[0]


def tolerance(precision: str, logits: Logits) -> float:
    """Largest |difference| from these golden logits that a backend may show."""
    return float(f"{RELATIVE_TOLERANCE[family(precision)] * max(float(np.abs(logits).max()), 1.0):.3g}")


def check_parity(reference: Logits, graph: Logits, *, precision: str, where: object) -> None:
    """`GateError` when a file's logits are not those of the model it was made from."""
    allowed, got = tolerance(precision, reference), compare(reference, graph)["max_abs"]
    if not float(got) <= allowed:
        raise GateError(f"{precision} file differs from its model", where=where, expected=f"<= {allowed}", got=got)


def bundle_parity(
    path: Path, *, store: ClipStore | None = None, run: Path | None = None, split: str = "test", threads: int = 1
) -> tuple[dict[str, Figure], ...]:
    """Rows of a bundle's graphs as they compute now, on its golden inputs and, with a store, on a split of it.

    run: the run that the bundle came from; without it torch enters by its recorded golden logits alone.
    threads: of the graphs.
    """
    bundle = Bundle.open(path).recogniser()
    graphs = {precision: checked_graph(bundle, precision) for precision in bundle.precisions}
    model = None if run is None else same_model(bundle, run)
    inputs = bundle.golden.inputs
    golden = {name: logits_of(graph, inputs) for name, graph in graphs.items()}
    golden["torch"] = bundle.golden.logits["torch"] if model is None else torch_logits(model, inputs)
    rows = parity_rows(golden, on="golden")
    if store is None:
        return rows
    check_store(bundle, store)
    inputs = plain_batch(store, labelled_clips(store, split), bundle.manifest.input, bundle.manifest.features)
    logits = {name: logits_of(graph, inputs, threads=threads) for name, graph in graphs.items()}
    if model is not None:
        logits["torch"] = torch_logits(model, inputs)
    return (*rows, *parity_rows(logits, on=split))


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


def check_rows(rows: Iterable[dict[str, Figure]], *, where: object) -> None:
    """`GateError` naming the pairs that agree on too few clips.

    INT8 is judged on clips of a store alone: the golden inputs are made skeletons that lie between the classes.
    """
    failed = []
    for row in rows:
        if (family(str(row["pair"])), row["on"]) == ("fp32:int8", "golden"):
            continue
        needed = LEAST_AGREEMENT[family(str(row["pair"]))]
        if int(row["n"]) * (100.0 - float(row["agreement"])) / 100.0 > max(1.0, int(row["n"]) * (100 - needed) / 100):
            failed.append(f"{row['pair']} on {row['on']}: {row['agreement']}% of {row['n']}, needed {needed}%")
    if failed:
        raise GateError("parity failed", where=where, got="; ".join(failed))
