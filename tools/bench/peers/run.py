"""Peers trained by one recipe and exported as they were trained; peers with drawn weights, to be timed alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips, plain_batch
from last_edge.errors import UsageError
from last_edge.export.onnx.onnx_graph import plain_onnx
from last_edge.export.onnx.session import logits_of
from last_edge.files import writing
from last_edge.inputs.spec import InputSpec
from last_edge.names import did_you_mean
from last_edge.tasks.config import Recipe
from last_edge.tasks.metrics import metrics_of
from last_edge.tools.bench.peers.bodies import PEERS, build, register
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.request import Report, Request, silent
from last_edge.train.run import run_training

SPLIT = "test"


@dataclass(frozen=True)
class PeerRecord:
    """A trained peer. top1, top3: percent over `n` test clips by the exported file itself. epochs, seed: of the recipe.

    params: weights. file: the ONNX file; clips_per_s: of the last epoch's training, one process.
    """

    name: str
    title: str
    params: int
    top1: float
    top3: float
    n: int
    epochs: int
    seed: int
    clips_per_s: float
    file: str
    store_sha256: str
    schema_version: int = 1


def peer_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """The wanted peers, all where none is named, with or without `peer_`; `UsageError` for an unknown one."""
    known = {name.removeprefix("peer_"): name for name in PEERS}
    for name in wanted:
        if name.removeprefix("peer_") not in known:
            raise UsageError(f"unknown peer {name!r}", expected=did_you_mean(name, known))
    return tuple(known[name.removeprefix("peer_")] for name in wanted) or tuple(PEERS)


def drawn_peers(bundle: Path, folder: Path, names: Sequence[str]) -> list[Path]:
    """Peers for a bundle's joints, frames and classes, with drawn weights, as ONNX files in a folder."""
    manifest = Bundle.open(bundle).recogniser().manifest
    return [write_peer(name, manifest.input, manifest.labels, folder) for name in names]


def write_peer(name: str, spec: InputSpec, labels: tuple[str, ...], folder: Path) -> Path:
    """One peer with drawn weights, exported; its path."""
    torch.manual_seed(0)
    path = folder / f"{name}.onnx"
    with writing(path) as stream:
        stream.write(plain_onnx(build(name, spec, len(labels)), labels=labels, name=name))
    return path


def train_peer(
    name: str, recipe: Recipe, store: Path, out: Path, *, device: str = "cpu", report: Report = silent,
    notify: Callable[[str], None] = lambda text: None,
) -> PeerRecord:  # fmt: skip
    """Train a peer by a recipe into OUT/NAME, or go on with that, and export it as OUT/NAME.onnx.

    The same windows, augmentation, validation people and schedule as any model of the recipe. Raises as `run_training`.
    """
    register()
    own = replace(recipe, model=replace(recipe.model, name=name, options={}))
    run = out / name
    if not (run / "final.json").exists():
        run_training(Request(own, store, run, device=device), report=report)
    checkpoint = load_checkpoint(run)
    content = plain_onnx(checkpoint.model, labels=checkpoint.labels, name=name)
    with writing(out / f"{name}.onnx") as stream:
        stream.write(content)
    opened = ClipStore.open(store)
    clips = labelled_clips(opened, SPLIT)
    measured = metrics_of(logits_of(content, plain_batch(opened, clips, checkpoint.spec)), opened, clips)
    timing = [json.loads(line) for line in (run / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    notify(f"{name}: {measured['top1']} %")
    return PeerRecord(
        name=name,
        title=PEERS[name][0],
        params=sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        top1=measured["top1"],
        top3=measured["top3"],
        n=measured["n"],
        epochs=recipe.training.epochs,
        seed=recipe.seed,
        clips_per_s=float(timing[-1]["clips_per_s"]) if timing else 0.0,
        file=f"{name}.onnx",
        store_sha256=opened.sha256,
    )
