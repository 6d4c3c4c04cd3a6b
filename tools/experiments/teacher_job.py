"""Teachers on one GPU in minutes: trainings side by side, their mean on the test split, their answers for students.

    python -m last_edge.tools.experiments.teacher_job STORE OUT --recipe last_v2_shrec28 --minutes 7 \
      --member seed=42 --member 'seed=43 input.frames=64' --answers shrec28_kd --views 64

Every member is a `last-edge train` of its own, so each can be resumed and used as any run: a small network leaves most
of a large GPU idle, and several fill it. When the minutes are over they are stopped with a checkpoint saved. OUT gets
`ensemble.json`, `logits.npz` and `answers`.
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips
from last_edge.distill.answers import answers_on_disk, merge_answers
from last_edge.tasks.class_learner import predict
from last_edge.tasks.metrics import metrics_of
from last_edge.tasks.plan import make_plan
from last_edge.train.checkpoint import POINTER, load_checkpoint
from last_edge.train.recipe import load_recipe

log = logging.getLogger(__name__)
GRACE_S = 20.0


def main() -> None:
    """Train, measure, answer."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = [options.out / f"member_{number}" for number in range(len(options.member))]
    train(options, runs)
    ready = [run for run in runs if (run / POINTER).exists()]
    finished = sum((run / "final.json").exists() for run in ready)
    log.info("%d of %d members have a checkpoint, %d are finished", len(ready), len(runs), finished)
    if ready:
        measure(options, ready)
    if ready and options.answers:
        answer(options, ready)


def train(options: argparse.Namespace, runs: list[Path]) -> None:
    """Run the members, `parallel` at a time, until all are done or the minutes are over."""
    deadline = time.monotonic() + 60 * options.minutes
    waiting, running = list(zip(runs, options.member, strict=True)), list[subprocess.Popen[bytes]]()
    while waiting or running:
        while waiting and len(running) < options.parallel:
            run, values = waiting.pop(0)
            command = [sys.executable, "-c", "from last_edge.tools.cli import main; main()", "train"]
            command += ["--recipe", options.recipe, "--store", str(options.store), "--out", str(run)]
            command += ["--device", options.device, "--threads", "2"]
            command += [part for value in values.split() for part in ("--set", value)]
            output = run.with_suffix(".log").open("w")
            running.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
        time.sleep(0.5)
        running = [process for process in running if process.poll() is None]
        if time.monotonic() > deadline:
            for process in running:
                process.send_signal(signal.SIGINT)
            for process in running:
                process.wait(GRACE_S)
            return


def measure(options: argparse.Namespace, runs: list[Path]) -> None:
    """Metrics of each member and of their mean probability, on validation and test; logits beside them."""
    store, figures, logits = ClipStore.open(options.store), {}, {}
    for split in ("val", "test"):
        parts = []
        for run in runs:
            checkpoint = load_checkpoint(run)
            final = run / "final.json"
            held = json.loads(final.read_text())["val_subjects"] if final.exists() else []
            clips = store.select(split="train", subjects=held) if split == "val" else labelled_clips(store, split)
            if split == "val" and not held:
                continue
            model = checkpoint.model.to(options.device)
            parts.append(predict(model, store, clips, spec=checkpoint.spec, device=options.device))
            figures[f"{split} {run.name}"] = _short(parts[-1], store, clips, options.merge_at)
            logits[f"{split}_{run.name}"] = parts[-1]
        if len(parts) == len(runs):
            mean = torch.log_softmax(torch.from_numpy(np.stack(parts)), -1).exp().mean(0).log().numpy()
            figures[f"{split} ensemble"] = _short(mean, store, clips, options.merge_at)
    np.savez_compressed(options.out / "logits.npz", **logits)  # type: ignore[arg-type]
    (options.out / "ensemble.json").write_text(json.dumps(figures, indent=1))
    log.info("%s", json.dumps(figures, indent=1))


def _short(logits: Any, store: ClipStore, clips: Any, merge_at: str) -> dict[str, Any]:
    merged = metrics_of(logits, store, clips, merge_at=merge_at)["top1"] if merge_at else None
    return {"top1": metrics_of(logits, store, clips)["top1"], "merged": merged, "n": len(clips)}


def answer(options: argparse.Namespace, runs: list[Path]) -> None:
    """The members' mean answers to the views of a distillation recipe, as `last-edge distill --answers` takes them."""
    sets = [f"distill.cache_views={options.views}", f"training.workers={options.workers}"]
    recipe = load_recipe(options.answers, overrides=sets)
    plan = make_plan(ClipStore.open(options.store), recipe)
    teachers, single = [load_checkpoint(run) for run in runs], options.out / "answers_each"
    kind = options.device.split(":")[0]
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        answers_on_disk(teachers, plan, recipe, folder=single, device=options.device)
    merge_answers(single, options.out / "answers", tau=recipe.distill.tau)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", default="last_v2_shrec28")
    parser.add_argument("--member", action="append", default=[], help="one training: KEY=VALUE ... over the recipe")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--merge-at", default=", ")
    parser.add_argument("--answers", help="distillation recipe whose views the members answer")
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--workers", type=int, default=max((os.cpu_count() or 1) - 2, 0))
    return parser.parse_args()


if __name__ == "__main__":
    main()
