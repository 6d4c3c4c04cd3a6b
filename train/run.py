"""One training run from recipe to tested checkpoint: resumable at any moment, test split touched once."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.files import locked
from last_edge.models import resolve_name
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.objective import HelpedObjective
from last_edge.tasks.registry import task_of
from last_edge.tasks.start import trunk_of
from last_edge.tasks.task import Row, Task
from last_edge.train import run_folder
from last_edge.train.checkpoint import WEIGHTS, ModelCard, load_weights, read_trainer, recipe_start
from last_edge.train.environment import describe_environment
from last_edge.train.processes import Processes, peak_memory
from last_edge.train.recipe import dump_recipe, identity_of, lasting_of
from last_edge.train.request import MakeObjective, Report, Request, Steps, silent
from last_edge.train.run_folder import TensorBoardLog
from last_edge.train.trainer import SUMS, Trainer

NOT_VALIDATED = [-math.inf, -math.inf]
log = logging.getLogger(__name__)


def run_training(
    request: Request, *, task: Task | None = None, make_objective: MakeObjective | None = None, report: Report = silent
) -> dict[str, Any]:
    """Train, or continue the same run, and test once. Returns the content of final.json.

    Under torchrun the processes share each step's clips, `batch_size` for each of them; the first one writes the run.
    task: that of the recipe's model unless named. make_objective: another than the task's plain one. report: called
    with each epoch's row and the number of epochs. Raises `InterruptedRun` when stopped by a signal, with a checkpoint
    saved, and `GateError` where an epoch takes no step or leaves weights that are
    not finite.
    """
    processes = Processes.join(request.device)
    try:
        with ExitStack() as held, StopRequest() as stop:
            processes.from_first(lambda: held.enter_context(locked(request.out)))
            run = Run(request, make_objective, report, processes, task=task)
            run.train(stop)
            return processes.from_first(run.finish)
    finally:
        processes.leave()


class Run:
    """A run in progress."""

    def __init__(
        self, request: Request, make_objective: MakeObjective | None = None, report: Report = silent,
        processes: Processes | None = None, *, task: Task | None = None,
    ) -> None:  # fmt: skip
        self.request, self.report = request, report
        self.processes = processes or Processes()
        self.store = ClipStore.open(request.store)
        task = task or task_of(request.recipe.model.name)
        self.recipe = task.fitted(request.recipe, self.store)
        self.plan = task.plan(self.store, self.recipe)
        start = recipe_start(self.recipe)
        self.learner = task.learner(self.plan, self.recipe, start=start, views=request.views, device=request.device)
        if self.recipe.training.patience and not len(self.plan.val):
            hint = "--set validation.fraction=0.1, or --set training.patience=0"
            raise UsageError("early stopping needs validation clips", where="training.patience", hint=hint)
        self.steps = Steps.plan(len(self.plan.train), self.recipe, self.processes)
        objective = (
            make_objective(self.recipe, self.plan, request.device) if make_objective else self.learner.objective()
        )
        torch.manual_seed(self.recipe.seed)
        model = cast(LandmarkModel, self.learner.model())
        self.start = self.learner.begin(model)
        self.contents, self.changes = self._contents(), list[dict[str, Any]]()
        self.trainer = Trainer(
            model, objective, truth=self.learner, training=self.recipe.training, seed=self.recipe.seed,
            device=request.device, per_epoch=self.steps.per_epoch, processes=self.processes,
        )  # fmt: skip
        resume_from = self.processes.from_first(
            lambda: run_folder.claim(
                request.out, self.contents.identity, lasting=self.contents.lasting, recipe=self.contents.recipe,
                force=request.force, may_change=request.may_change,
            )
        )  # fmt: skip
        if resume_from is not None:
            self._resume(resume_from)
        elif self.start is not None and self.processes.first:
            log.info("start: %s", self.start)
        wanted = self.recipe.training.tensorboard and self.processes.first
        self.board = TensorBoardLog(request.out) if wanted else None
        self.clock = LoopClock()

    def train(self, stop: StopRequest) -> None:
        """Learn until the last epoch is done, patience is over or a stop is wanted."""
        while not self._done():
            for points, labels in self.clock.timed(self.rest_of_epoch()):
                self.trainer.step(points, labels)
                if (
                    self._step() % self.steps.per_epoch
                    and self.trainer.between_windows
                    and self.processes.any(stop.wanted)
                ):
                    self._save()
                    self._raise_stopped()
            self._end_epoch()
            if self.processes.any(stop.wanted) and not self._done():
                self._raise_stopped()

    def finish(self) -> dict[str, Any]:
        """Measure the chosen checkpoint and write final.json."""
        final = self.facts() | self.measure()
        with run_folder.room_on_disk(self.request.out):
            records.write_json(self.request.out / run_folder.FINAL, final)
        return final

    def facts(self) -> dict[str, Any]:
        """What was trained on what, and which checkpoint was chosen."""
        card, parameters = self.contents.card, dict(self.trainer.model.named_parameters())
        if card.trunk_only:
            parameters = trunk_of(parameters)
        return {
            "model": card.name,
            "params": sum(parameter.numel() for parameter in parameters.values()),
            "checkpoint": self.trainer.progress.best,
            "epochs": len(self.trainer.progress.history),
            "seed": self.recipe.seed,
            "store_sha256": self.store.sha256,
            "val_subjects": list(self.plan.val_subjects),
            "train_clips": len(self.plan.train),
            **({} if self.start is None else {"init": self.start.as_dict()}),
            **({"beyond_recipe": self.request.extra.splitlines()} if self.request.extra else {}),
            **({"trunk_only": True} if card.trunk_only else {}),
            **({"changes": self.changes} if self.changes else {}),
        }

    def measure(self) -> dict[str, Any]:
        """Figures of the chosen checkpoint on validation and, once, on test clips."""
        best = self.trainer.progress.best
        weights = self.request.out / run_folder.CHECKPOINTS / best / WEIGHTS

        def chosen(model: nn.Module) -> nn.Module:
            load_weights(model, weights)
            return model.eval()

        row = self.trainer.progress.history[int(best.split("-")[1]) - 1]
        return self.learner.measure(chosen, row, test=self.request.test)

    def _step(self) -> int:
        return self.trainer.progress.step

    def _done(self) -> bool:
        """Whether the last epoch is over, or validation has not improved for longer than patience lasts."""
        patience = self.recipe.training.patience
        stale = bool(patience) and epochs_since_best(self.trainer.progress.history) >= patience
        return self._step() >= self.recipe.training.epochs * self.steps.per_epoch or stale

    def _contents(self) -> run_folder.Contents:
        learner = self.learner
        asked = [self.store.sha256, self.request.extra]
        asked += [] if learner.start is None else [f"init {learner.start.sha256}"]
        asked += [f"processes {self.processes.count}"] if self.processes.count > 1 else []
        identity, lasting = (
            hashlib.sha256("\n".join([text, *asked]).encode()).hexdigest()
            for text in (identity_of(self.recipe), lasting_of(self.recipe))
        )
        for text in learner.texts.values():
            identity, lasting = (hashlib.sha256(f"{each}\n{text}".encode()).hexdigest() for each in (identity, lasting))
        facts = {"device": self.request.device, "threads": torch.get_num_threads(), "seed": self.recipe.seed}
        card = ModelCard(
            name=resolve_name(self.recipe.model.name), options=learner.options, classes=len(learner.labels),
            input_sha256=self.plan.spec.sha256, store_sha256=self.store.sha256, units=self.store.units,
            trunk_only=learner.trunk_only,
        )  # fmt: skip
        return run_folder.Contents(
            card=card, spec=self.plan.spec, labels=learner.labels, recipe=dump_recipe(self.recipe),
            environment=describe_environment(**facts, processes=self.processes.count), identity=identity,
            lasting=lasting,
            texts=({} if self.start is None else {"init.json": records.as_json(self.start.as_dict())}) | learner.texts,
        )  # fmt: skip

    def rest_of_epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the running epoch that are still to come: points (N, ...) and what is to be learnt of them."""
        self.trainer.model.train()
        epoch, done = divmod(self._step(), self.steps.per_epoch)
        for batch in self.learner.batches(epoch, self.steps.left(epoch * self.steps.per_epoch), done):
            if isinstance(self.trainer.objective, HelpedObjective):
                self.trainer.objective.begin_batch(batch.clips, batch.view)
            yield batch.points, batch.labels

    def _end_epoch(self) -> None:
        totals, training = self.trainer.end_epoch(), self.recipe.training
        self.trainer.check_learned(totals)
        timing = self.clock.read(training.batch_size * self.processes.count) | peak_memory(self.request.device)
        row = {
            "epoch": self._step() // self.steps.per_epoch,
            "lr": float(self.trainer.optimizer.param_groups[0]["lr"]),
            **self.learned(totals),
            "skipped": totals["skipped"],
            **({"overflow": totals["overflow"]} if self.trainer.scaler.is_enabled() else {}),
            **self.processes.from_first(self.validate),
        }
        self.trainer.progress.history.append(row)
        self._choose(row)
        self._save()
        if self.board is not None:
            self.board.add(row)
        if self.processes.first:
            run_folder.log_timing(self.request.out, {"epoch": row["epoch"]} | timing)
        self.report(row | timing, training.epochs)

    def learned(self, totals: dict[str, float]) -> Row:
        """Means over the epoch's clips: the loss, its terms where the objective tells them, percent of hits."""
        seen = max(totals["seen"], 1.0)
        means = {name: totals[name] / seen for name in ("loss", *(name for name in totals if name not in SUMS))}
        return means | ({self.learner.hits_as: 100.0 * totals["hits"] / seen} if self.learner.hits_as else {})

    def validate(self) -> Row:
        """Figures of the validation clips, of the weights that would be shipped; none between `validation.every`."""
        epoch, own = self._step() // self.steps.per_epoch, self.recipe.validation
        if not len(self.plan.val) or (epoch % own.every and epoch != self.recipe.training.epochs):
            return {}
        with self.trainer.deployed_weights() as model:
            model.eval()
            row = self.learner.validate(model, self.trainer.objective)
            model.train()
        return row

    def _choose(self, row: Row) -> None:
        """Mark this epoch as best: by its validation score, below which is whatever was not validated; or always, where
        the last is asked for."""
        progress, score = self.trainer.progress, [row["epoch"], 0.0]
        if self.recipe.validation.select == "best" and len(self.plan.val):
            score = validation_score(row) if "val_loss" in row else NOT_VALIDATED
        if not progress.best_score or score >= progress.best_score:
            progress.best, progress.best_score = self._name(), score

    def _name(self) -> str:
        epoch, step = divmod(self._step(), self.steps.per_epoch)
        return f"epoch-{epoch:04d}" + (f"-step-{step:05d}" if step else "")

    def _save(self) -> None:
        t = self.recipe.training
        every = range(t.save_interval, t.epochs + 1, t.save_interval) if t.save_interval else range(0)
        run_folder.save(
            self.request.out, self._name(), trainer=self.trainer, contents=self.contents, finished=self._done(),
            keep=[f"epoch-{epoch:04d}" for epoch in every],
        )  # fmt: skip

    def _resume(self, resume: run_folder.Resume) -> None:
        """Go on from a checkpoint; what is set otherwise since is written down."""
        try:
            self.trainer.restore(read_trainer(resume.folder))
        except (KeyError, RuntimeError, TypeError) as error:
            raise InputError(
                "trainer state does not fit this run", where=resume.folder, got=str(error)[:200]
            ) from error
        self.changes = resume.changes
        if self.changes:
            lines = "".join(json.dumps(row) + "\n" for row in self.changes)
            self.contents = replace(self.contents, texts=self.contents.texts | {run_folder.CHANGES: lines})
        if not resume.changed:
            return
        other = run_folder.differences(resume.changed)
        if resume.finished and self._done():
            raise run_folder.FinishedRun(
                "this run is finished", where=self.request.out, got=other, hint=run_folder.MORE
            )
        if self.processes.first:
            (self.request.out / run_folder.FINAL).unlink(missing_ok=True)
            log.warning("goes on after %s with other settings: %s", resume.folder.name, other)

    def _raise_stopped(self) -> None:
        hint = "the same command to resume"
        raise InterruptedRun("stopped; a checkpoint is saved", where=self.request.out, hint=hint)


class StopRequest:
    """Notes SIGINT and SIGTERM; the loop looks at `wanted` between steps. A second signal stops at once."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


Batch = TypeVar("Batch")
Clock = Callable[[], float]


class LoopClock:
    """Seconds since `read` of a loop over batches: waited for the next batch, and worked with it.

    On a GPU the loop runs ahead of the device, but meets it once a window (see `Trainer`); an epoch's sums are right.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self.waited = self.worked = 0.0
        self.batches = 0

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches, timed."""
        source, before = iter(batches), self.clock()
        for batch in source:
            came = self.clock()
            self.waited += came - before
            yield batch
            before = self.clock()
            self.worked += before - came
            self.batches += 1
        self.waited += self.clock() - before

    def read(self, batch_size: int) -> dict[str, float]:
        """Clips a second and the percentage of time spent waiting, since the last reading."""
        clips, seconds = self.batches * batch_size, self.waited + self.worked
        row = {
            "seconds": round(seconds, 3),
            "clips_per_s": round(clips / seconds, 2) if seconds else 0.0,
            "waiting": round(100.0 * self.waited / seconds, 2) if seconds else 0.0,
        }
        self.waited = self.worked = 0.0
        self.batches = 0
        return row


def validation_score(row: Row) -> list[float]:
    """The epoch with the greater score is better: validation top-1, or BLEU-4, where there is one; the smaller loss."""
    return [row.get("val_top1", row.get("val_bleu4", 0.0)), -row["val_loss"]]


def epochs_since_best(history: list[Row]) -> int:
    """Epochs since the validation score got better for the last time, those without one among them; one that stays the
    same is none better."""
    scored = [place for place, row in enumerate(history) if "val_loss" in row]
    return len(history) - 1 - max(scored, key=lambda place: validation_score(history[place])) if scored else 0
