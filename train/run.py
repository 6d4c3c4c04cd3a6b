"""One training run from recipe to tested checkpoint: resumable at any moment, test split touched once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from last_edge.clips.store import ClipStore
from last_edge.data.augment import Augment
from last_edge.data.dataset import ClipDataset, epoch_order
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.files import check_free, write_text
from last_edge.models import create_model, resolve_name
from last_edge.models.landmark_model import LandmarkModel
from last_edge.train.checkpoint import (
    POINTER,
    ModelCard,
    RunPointer,
    as_json,
    prune,
    read_pointer,
    read_trainer,
    write_checkpoint,
)
from last_edge.train.config import AugmentConfig, Recipe
from last_edge.train.environment import describe_environment
from last_edge.train.evaluate import metrics_of, predict
from last_edge.train.interrupt import StopRequest
from last_edge.train.objective import CrossEntropy, Objective
from last_edge.train.plan import Plan, make_plan
from last_edge.train.recipe import dump_recipe
from last_edge.train.trainer import Trainer

from last_edge import records

FINAL = "final.json"
METRICS = "metrics.jsonl"
Report = Callable[[dict[str, float]], None]
MakeObjective = Callable[[Recipe, Plan, str], Objective]


@dataclass(frozen=True)
class Request:
    """What to train and where. extra: facts that make two runs different beyond the recipe, such as the teacher."""

    recipe: Recipe
    store: Path
    out: Path
    device: str = "cpu"
    force: bool = False
    extra: str = ""


def cross_entropy(recipe: Recipe, plan: Plan, device: str) -> Objective:
    """The plain objective of `last-edge train`."""
    t = recipe.training
    return CrossEntropy(smoothing=t.label_smoothing, noise=recipe.augment, clamp=t.input_clamp)


def run_training(
    request: Request, *, make_objective: MakeObjective = cross_entropy, report: Report = lambda row: None
) -> dict[str, Any]:
    """Train, or continue the same run, and test once. Returns the content of final.json.

    report: called with each epoch's row. Raises `InterruptedRun` when stopped by a signal, with a checkpoint saved.
    """
    run = Run(request, make_objective, report)
    with StopRequest() as stop:
        run.train(stop)
    return run.finish()


class Run:
    """A run in progress."""

    def __init__(self, request: Request, make_objective: MakeObjective, report: Report) -> None:
        self.request, self.recipe, self.report = request, request.recipe, report
        self.store = ClipStore.open(request.store)
        self.plan = make_plan(self.store, self.recipe)
        self.identity = self._identity()
        pointer = self._existing()
        torch.manual_seed(self.recipe.seed)
        model = build_model(self.recipe, self.plan, classes=len(self.store.labels))
        objective = make_objective(self.recipe, self.plan, request.device)
        self.batches = self._batches_per_epoch()
        self.trainer = Trainer(
            model, objective, training=self.recipe.training, seed=self.recipe.seed, device=request.device,
            per_epoch=self.batches,
        )  # fmt: skip
        self.loader_data = ClipDataset(
            self.store, self.plan.train, spec=self.plan.spec, ranges=ranges(self.recipe.augment), seed=self.recipe.seed
        )
        if pointer is not None:
            self._resume(request.out / "checkpoints" / pointer.last)

    def train(self, stop: StopRequest) -> None:
        """Learn until the last epoch is done or a stop is wanted."""
        total = self.recipe.training.epochs * self.batches
        while self.trainer.progress.step < total:
            for points, labels in self._epoch():
                self.trainer.step(points, labels)
                if stop.wanted and self.trainer.progress.step % self.batches:
                    self._save(finished=False)
                    self._raise_stopped()
            self._end_epoch()
            if stop.wanted and self.trainer.progress.step < total:
                self._raise_stopped()

    def finish(self) -> dict[str, Any]:
        """Test the chosen checkpoint and write final.json."""
        from last_edge.train.checkpoint import load_checkpoint

        chosen = load_checkpoint(self.request.out, "best")
        parts = {"val": self.plan.val, "test": self.plan.test}
        final: dict[str, Any] = {
            "model": resolve_name(self.recipe.model.name),
            "params": sum(p.numel() for p in chosen.model.parameters()),
            "checkpoint": chosen.path.name,
            "seed": self.recipe.seed,
            "store_sha256": self.store.sha256,
            "val_subjects": list(self.plan.val_subjects),
            "train_clips": len(self.plan.train),
        }
        for name, clips in parts.items():
            if len(clips):
                logits = predict(chosen.model, self.store, clips, spec=chosen.spec)
                final[name] = metrics_of(logits, self.store, clips)
        write_text(self.request.out / FINAL, as_json(final))
        return final

    def _identity(self) -> str:
        """sha256 of everything that must be the same for a resume."""
        parts = [dump_recipe(self.recipe), self.store.sha256, self.request.extra]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _existing(self) -> RunPointer | None:
        """The pointer of an unfinished run of the same settings; anything else at `out` is refused without force."""
        out = self.request.out
        pointer = read_pointer(out) if out.is_dir() and not self.request.force else None
        if pointer is None:
            if not (out.is_dir() and {item.name for item in out.iterdir()} <= {"checkpoints"}):
                check_free(out, force=self.request.force)
            clear_run(out)
            return None
        before = read_trainer(out / "checkpoints" / pointer.last)["identity"]
        if before != self.identity:
            raise UsageError(
                "this run was started with other settings", where=out, hint="the same flags to resume, or --force"
            )
        if pointer.finished and (out / FINAL).exists():
            raise UsageError("this run is finished", where=out, hint="last-edge eval, another --out, or --force")
        return pointer

    def _batches_per_epoch(self) -> int:
        size = self.recipe.training.batch_size
        return max(len(self.plan.train) // size, 1)

    def _epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of this epoch that are still to come."""
        epoch, done = divmod(self.trainer.progress.step, self.batches)
        self.loader_data.epoch = epoch
        order = epoch_order(len(self.plan.train), seed=self.recipe.seed, epoch=epoch)
        size = self.recipe.training.batch_size
        batches = [order[start * size : (start + 1) * size].tolist() for start in range(done, self.batches)]
        loader = DataLoader(self.loader_data, batch_sampler=batches, num_workers=self.recipe.training.workers)
        self.trainer.model.train()
        for points, labels, _ in loader:
            yield points, labels

    def _end_epoch(self) -> None:
        progress = self.trainer.progress
        seen = max(progress.totals.get("seen", 0.0), 1.0)
        row = {
            "epoch": progress.step // self.batches,
            "lr": float(self.trainer.optimizer.param_groups[0]["lr"]),
            "loss": progress.totals.get("loss", 0.0) / seen,
            "train_top1": 100.0 * progress.totals.get("hits", 0.0) / seen,
            "skipped": progress.totals.get("skipped", 0.0),
            **self._validate(),
        }
        progress.totals = {}
        progress.history.append(row)
        self._choose(row)
        self._save(finished=progress.step >= self.recipe.training.epochs * self.batches)
        self.report(row)

    def _validate(self) -> dict[str, float]:
        """Validation loss and top-1 of the weights that would be shipped."""
        if not len(self.plan.val):
            return {}
        raw = {name: value.clone() for name, value in self.trainer.model.state_dict().items()}
        self.trainer.model.load_state_dict(self.trainer.deployed())
        logits = predict(
            self.trainer.model, self.store, self.plan.val, spec=self.plan.spec, device=self.request.device
        )
        self.trainer.model.load_state_dict(raw)
        labels = self.store.index.label[self.plan.val]
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
        hits = float(np.mean(logits.argmax(1) == labels))
        return {"val_loss": float(loss), "val_top1": 100.0 * hits}

    def _choose(self, row: dict[str, float]) -> None:
        """Mark this epoch as best: by validation top-1, then loss; or always, where the last is asked for."""
        progress = self.trainer.progress
        by_score = self.recipe.validation.select == "best" and "val_top1" in row
        score = [row["val_top1"], -row["val_loss"]] if by_score else [row["epoch"], 0.0]
        if not progress.best_score or score >= progress.best_score:
            progress.best, progress.best_score = self._name(), score

    def _name(self) -> str:
        epoch, step = divmod(self.trainer.progress.step, self.batches)
        return f"epoch-{epoch:04d}" + (f"-step-{step:05d}" if step else "")

    def _save(self, *, finished: bool) -> None:
        """Write a checkpoint, then point to it, then drop those nobody needs."""
        out, progress, name = self.request.out, self.trainer.progress, self._name()
        history = "".join(as_json_line(row) for row in progress.history)
        write_checkpoint(
            out / "checkpoints" / name,
            weights=self.trainer.deployed(),
            card=self._card(),
            spec=self.plan.spec,
            labels=self.store.labels,
            texts={"recipe.yaml": dump_recipe(self.recipe), METRICS: history, "env.json": self._environment()},
            trainer=self.trainer.state() | {"identity": self.identity},
        )
        records.save(RunPointer(best=progress.best or name, last=name, finished=finished), out / POINTER)
        write_text(out / METRICS, history)
        write_text(out / "recipe.yaml", dump_recipe(self.recipe))
        every = self.recipe.training.save_interval
        kept = {f"epoch-{epoch:04d}" for epoch in range(every, self.recipe.training.epochs + 1, every)} if every else set()
        prune(out, keep=kept | {name, progress.best or name})

    def _card(self) -> ModelCard:
        return ModelCard(
            name=resolve_name(self.recipe.model.name),
            options=dict(self.recipe.model.options),
            classes=len(self.store.labels),
            input_sha256=self.plan.spec.sha256,
            store_sha256=self.store.sha256,
            units=self.store.units,
        )

    def _environment(self) -> str:
        return as_json(
            describe_environment(device=self.request.device, threads=torch.get_num_threads(), seed=self.recipe.seed)
        )

    def _resume(self, folder: Path) -> None:
        state = read_trainer(folder)
        try:
            self.trainer.restore(state)
        except (KeyError, RuntimeError, TypeError) as error:
            raise InputError("trainer state does not fit this run", where=folder, got=str(error)[:200]) from error

    def _raise_stopped(self) -> None:
        raise InterruptedRun("stopped; a checkpoint is saved", where=self.request.out, hint="the same command to resume")


def build_model(recipe: Recipe, plan: Plan, *, classes: int) -> LandmarkModel:
    """The recipe's model for a plan's input."""
    return create_model(recipe.model.name, spec=plan.spec, classes=classes, **recipe.model.options)


def ranges(config: AugmentConfig) -> Augment:
    """The part of the augmentation that changes points; noise is added to the streams."""
    names = ("rotation_deg", "tilt_deg", "scale", "shear", "crop", "warp", "mirror", "mask")
    return Augment(**{name: getattr(config, name) for name in names})


def clear_run(out: Path) -> None:
    """Remove what an earlier run left at `out`."""
    for name in (POINTER, FINAL, METRICS, "recipe.yaml"):
        (out / name).unlink(missing_ok=True)
    if (out / "checkpoints").is_dir():
        prune(out, keep=set())


def as_json_line(row: dict[str, Any]) -> str:
    """One row as a line of JSON."""
    import json

    return json.dumps(row) + "\n"
