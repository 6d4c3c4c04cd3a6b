"""What the training commands share: resolving flags, saying what a run would do and what it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from last_edge.tasks.config import Recipe
    from last_edge.train.request import Request


def resolve_recipe(
    recipe: str | None, model: str | None, seed: int | None, sets: list[str] | None, *, init: Path | None = None
) -> Recipe:
    """A recipe with the flags' values under `--set`, which always wins."""
    from last_edge.train.recipe import load_recipe, set_values

    flags = set_values([("model.name", model), ("seed", seed), ("training.init", quoted(init))])
    return load_recipe(recipe, overrides=[*flags, *(sets or [])])


def quoted(path: Path | None) -> str | None:
    """A path as a recipe value, whatever characters it has."""
    return None if path is None else json.dumps(str(path))


def make_request(store: Path, out: Path, recipe: Recipe, *, device: str, threads: int, force: bool) -> Request:
    """A run's request, on the device and with the processor threads that the flags ask for."""
    import torch

    from last_edge.train.device import resolve_device
    from last_edge.train.request import Request

    if threads:
        torch.set_num_threads(threads)
    return Request(recipe, store, out, device=resolve_device(device), force=force)


def preview(request: Request) -> dict[str, Any]:
    """What a training would do; what it would take over from another run, where it starts from one."""
    from last_edge.clips.store import ClipStore
    from last_edge.train.foresee import foresee

    return foresee(ClipStore.open(request.store), request.recipe)


def readable(preview: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """A preview for people: the rates as a column, one epoch a line."""
    if as_json:
        return preview
    rates = "".join(f"\n  {epoch:4d}  {rate:.6f}" for epoch, rate in enumerate(preview["lr"]))
    recipe = "".join(f"\n  {line}" for line in preview["recipe"].splitlines())
    lines = {
        key: _lines(preview[key]) for key in ("teachers", "loss_map", "cache", "hyperparameters") if preview.get(key)
    }
    return preview | lines | {"lr": f"at the start of each epoch{rates}", "recipe": recipe}


def _lines(value: Any) -> str:
    """A list or mapping, one item a line."""
    items = [f"{key}: {part}" for key, part in value.items()] if isinstance(value, dict) else value
    return "".join(f"\n  {item}" for item in items)


def translated(figures: dict[str, Any]) -> str:
    """A translator's figures in a line."""
    tier = f"  tier: {figures['tier']}" if "tier" in figures else ""
    said = f"BLEU-4 {figures['bleu4']}  chrF {figures['chrf']}  WER {figures['wer']}%"
    return f"{said}  of {figures['n']} sentences{tier}"


def summary(final: dict[str, Any], out: Path) -> dict[str, Any]:
    """The lines a person wants after a run."""
    shown: dict[str, Any] = {"run": str(out), "model": final["model"], "params": final["params"]}
    if "init" in final:
        start = final["init"]
        shown["init"] = f"{start['run']}: {len(start['loaded'])} tensors taken over, {len(start['fresh'])} new"
    for part in ("val", "test"):
        if "bleu4" in final.get(part, {}):
            shown[part] = translated(final[part])
        elif part in final:
            top = "  ".join(f"top-{rank} {final[part][f'top{rank}']}%" for rank in (1, 3, 5))
            shown[part] = f"{top}  of {final[part]['n']} clips"
    return shown
