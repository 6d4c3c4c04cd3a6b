"""What a pre-trained trunk is worth: a linear probe, and fine-tuning against the same training from scratch."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import InputError, UsageError
from last_edge.inputs.features import LANDMARKS
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.class_learner import BATCH
from last_edge.tasks.config import InputConfig, ModelConfig, Recipe
from last_edge.tasks.plan import Plan, held_out, make_plan
from last_edge.tasks.start import Start
from last_edge.tools.experiments.compare import as_digits, compared_clips, hits_of, once, paired_difference, spread
from last_edge.train.checkpoint import checkpoint_folder, read_card, read_trunk
from last_edge.train.request import Report, Request
from last_edge.train.run import run_training
from last_edge.train.run_folder import FINAL

DECAY, STEPS = 1e-3, 200
WAYS = {
    "probe": "linear probe, trunk frozen",
    "probe_untrained": "linear probe of an untrained trunk",
    "finetune": "fine-tuned from the trunk",
    "scratch": "trained from scratch, the same recipe",
}
Hits = NDArray[np.bool_]
MakeReport = Callable[[str], Report]


@dataclass(frozen=True)
class ProbeRequest:
    """Which trunk is measured, on what, and how often. shares: of the labels; split: `val` or `test`."""

    trunk: Path
    store: Path
    out: Path
    recipe: Recipe
    shares: Sequence[float]
    seeds: Sequence[int]
    split: str = "val"
    device: str = "cpu"


def probe_recipe(trunk: Path, store: ClipStore, base: Recipe, *, split: str = "val") -> Recipe:
    """`base` for the trunk's model and input, with validation subjects that no seed changes.

    They are those that the pre-training held out, where it used this store; else drawn as `base` says. `InputError`
    where it held nobody out and validation is what is asked for.
    """
    card, spec = read_card(checkpoint_folder(trunk))
    final = records.read_json(trunk / FINAL) if (trunk / FINAL).exists() else {}
    inputs = InputConfig(
        frames=spec.frames, centre=spec.centre, scale=spec.scale, streams=list(spec.streams), bodies=spec.bodies
    )
    recipe = dataclasses.replace(base, model=ModelConfig(card.name, dict(card.options)), input=inputs)
    train = store.select(split="train")
    if final.get("store_sha256") == store.sha256:
        subjects = list(final.get("val_subjects", []))
        if split == "val" and not subjects and not len(store.select(split="val")):
            hint = "last-edge pretrain maskclr … --set validation.fraction=0.1, or --split test"
            raise InputError("this pre-training held nobody out to validate on", where=trunk, hint=hint)
    else:
        subjects = [] if len(store.select(split="val")) else list(held_out(store, train, recipe))
    fixed = dataclasses.replace(base.validation, subjects=subjects, fraction=0.0)
    return dataclasses.replace(recipe, validation=fixed)


def run_probe(request: ProbeRequest, *, report: MakeReport) -> dict[str, Any]:
    """Every cell of the table, each training once; what was finished before is not repeated.

    report: called with the name of each training, gives the function that hears of its epochs.
    """
    store = ClipStore.open(request.store)
    clips = compared_clips(store, request.recipe, request.split)
    plan = make_plan(store, request.recipe)
    name, options = request.recipe.model.name, request.recipe.model.options
    if not create_model(name, spec=plan.spec, classes=len(store.labels), **options).stage_widths():
        expected = "a trunk with stages of feature maps, such as last_lite_nano's"
        raise UsageError("no feature maps to probe", where=request.trunk, expected=expected, got=name)
    trunk = read_trunk(request.trunk, model=request.recipe.model.name, spec=plan.spec)
    cells = []
    for share in request.shares:
        answers: dict[str, list[Hits]] = {way: [] for way in WAYS}
        counts = []
        for seed in request.seeds:
            training = dataclasses.replace(request.recipe.training, label_share=share, init="")
            recipe = dataclasses.replace(request.recipe, seed=seed, training=training)
            counts.append(len(make_plan(store, recipe).train))
            for way, answer in _answers(request, recipe, store, clips, trunk, report).items():
                answers[way].append(answer)
        hits = {way: np.array(rows) for way, rows in answers.items()}
        cells.append({
            "labels": share,
            "train_clips": counts,
            "ways": {
                way: records.to_dict(spread(rows)) | {"hits": [as_digits(row) for row in rows]}
                for way, rows in hits.items()
            },
            "finetune_minus_scratch": records.to_dict(paired_difference(hits["finetune"], hits["scratch"])),
        })  # fmt: skip
    return {
        "schema_version": 1, "trunk": str(request.trunk), "trunk_sha256": trunk.sha256,
        "model": request.recipe.model.name, "store_sha256": store.sha256, "split": request.split,
        "val_subjects": request.recipe.validation.subjects, "clips": len(clips), "seeds": list(request.seeds),
        "cells": cells,
    }  # fmt: skip


def _answers(
    request: ProbeRequest, recipe: Recipe, store: ClipStore, clips: NDArray[np.int64], trunk: Start, report: MakeReport
) -> dict[str, Hits]:
    """Right answers of each way, for one share of the labels and one seed."""
    plan = make_plan(store, recipe)
    answers = {
        "probe": _linear_probe(recipe, plan, clips, trunk=trunk, device=request.device),
        "probe_untrained": _linear_probe(recipe, plan, clips, trunk=None, device=request.device),
    }
    for way, start in (("finetune", str(request.trunk)), ("scratch", "")):
        out = request.out / f"labels_{recipe.training.label_share:g}" / f"{way}_seed_{recipe.seed}"
        own = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, init=start))
        wanted = Request(own, request.store, out, device=request.device, test=False)
        name = f"{way} {recipe.training.label_share:.0%} seed {recipe.seed}"
        once(out, run_training, wanted, report=report(name))
        answers[way] = hits_of(out, store, clips, device=request.device)
    return answers


def _linear_probe(recipe: Recipe, plan: Plan, clips: NDArray[np.int64], *, trunk: Start | None, device: str) -> Hits:
    """(n,) right answers of a linear classifier on a frozen trunk, None for one as its seed draws it."""
    torch.manual_seed(recipe.seed)
    store, labels = plan.store, plan.store.index.label
    model = create_model(recipe.model.name, spec=plan.spec, classes=len(store.labels), **recipe.model.options)
    if trunk is not None:
        trunk.into(model)
    features = mean_features(model, store, plan.train, device=device)
    classifier = fit_linear(features, labels[plan.train], len(store.labels))
    return linear_hits(classifier, mean_features(model, store, clips, device=device), labels[clips])


@torch.no_grad()
def mean_features(model: LandmarkModel, store: ClipStore, clips: NDArray[np.int64], *, device: str = "cpu") -> Tensor:
    """(n, C) means of the last feature map over time and joints: plain windows, model in eval mode, on the CPU."""
    model = model.to(device).eval()
    rows = []
    for start in range(0, len(clips), BATCH):
        points = torch.from_numpy(plain_batch(store, clips[start : start + BATCH], model.spec)[LANDMARKS]).to(device)
        rows.append(model.features_and_logits(model.front(points))[0][-1].float().mean(dim=(2, 3)).cpu())
    return torch.cat(rows)


def fit_linear(features: Tensor, labels: NDArray[np.int64], classes: int) -> nn.Sequential:
    """Multinomial logistic regression on standardised features (n, C), by L-BFGS in double precision.

    `DECAY` times the squared weights is added to the mean cross entropy. Nothing is drawn at random.
    """
    inputs, targets = features.double(), torch.from_numpy(labels)
    norm = Standardise(inputs.mean(0), inputs.std(0, unbiased=False).clamp(min=1e-6))
    linear = nn.Linear(inputs.shape[1], classes).double()
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")
    ready = norm(inputs)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(linear(ready), targets) + DECAY * linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return nn.Sequential(norm, linear)


class Standardise(nn.Module):
    """(x - mean) / std a feature."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        return (x.double() - self.mean) / self.std


@torch.no_grad()
def linear_hits(classifier: nn.Module, features: Tensor, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether the classifier is right about features (n, C)."""
    return np.asarray(classifier(features).argmax(1).numpy() == labels)
