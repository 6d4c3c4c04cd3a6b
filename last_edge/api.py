"""What programs call: `load` a bundle; `train`, `export` and `quantize` as the commands of these names do.

Each function imports what it needs, so importing this module is cheap, and `load` never loads torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from last_edge.bundle.manifest import Manifest
    from last_edge.export.int8.quantize_bundle import Quantised
    from last_edge.runtime.recognise.model import Precision
    from last_edge.runtime.recogniser import Recogniser
    from last_edge.runtime.translator import Translator
    from last_edge.tasks.task import Row

Place = str | Path
Settings = Mapping[str, object]


def load(
    bundle: Place, *, precision: Precision | None = None, threads: int | None = None, backend: str = "onnxruntime-cpu"
) -> Recogniser | Translator:
    """A bundle ready to run: a `Recogniser`, or a `Translator` where it gives sentences.

    bundle: a name of the zoo, a folder or a `.last` file. precision: `fp32` or `int8`; None takes INT8 where the bundle
    has it. threads: None takes what `bench tune` found fastest, else 1. backend: what runs a recogniser's graph; a
    translator runs in ONNX Runtime on the processor.
    Raises `InputError` for an unknown name, with the nearest ones, and a damaged bundle; `UsageError` for an unknown
    backend; `MissingError` without it. Code that is type-checked calls `Recogniser.open` or `Translator.open`.
    """
    from last_edge.bundle import Bundle
    from last_edge.bundle.manifest import translates
    from last_edge.bundle.zoo import find_bundle
    from last_edge.errors import UsageError
    from last_edge.runtime.recogniser import Recogniser
    from last_edge.runtime.translator import Translator

    opened = Bundle.open(find_bundle(bundle))
    if not translates(opened.manifest):
        return Recogniser(opened, precision=precision, threads=threads, backend=backend)
    if backend != "onnxruntime-cpu":
        raise UsageError("a translator runs in ONNX Runtime on the processor", where=bundle, got=backend)
    return Translator.of(opened, precision=precision, threads=threads)


def train(
    *,
    store: Place,
    out: Place,
    model: str | None = None,
    recipe: str | None = None,
    init: Place | None = None,
    seed: int | None = None,
    settings: Settings | None = None,
    env: str | None = None,
    device: str = "auto",
    threads: int = 0,
    force: bool = False,
    report: Callable[[Row, int], None] = lambda row, epochs: None,
) -> dict[str, Any]:
    """Train, or continue, a run in `out` on a clip store, and test it once; the content of its final.json.

    model: a registered name. recipe: a shipped one or a YAML file. init: a run that the model starts from. settings:
    recipe keys and values, as `{"training.epochs": 20}`, which win over all. env: a profile such as `kaggle`; None
    detects it. threads: of the processor, 0 leaves them to torch. report: called with each epoch's row and the number
    of epochs.
    Raises `UsageError` for what does not fit together, `InputError` for a store that is not whole, `InterruptedRun`
    after a signal, with a checkpoint saved.
    """
    from last_edge.train.environment import detect, load_profile
    from last_edge.train.processes import resolve_device
    from last_edge.train.request import Request
    from last_edge.train.run import run_training

    named = {"model.name": model, "seed": seed, "training.init": None if init is None else json.dumps(str(init))}
    resolved = load_profile(env or detect()).recipe(recipe, overrides=_overrides(named, settings))
    _use_threads(threads)
    request = Request(resolved, Path(store), Path(out), device=resolve_device(device), force=force, may_change=True)
    return run_training(request, report=report)


def export(
    *,
    run: Place,
    out: Place,
    store: Place | None = None,
    split: str = "test",
    dynamic_time: bool = False,
    weights: bool = False,
    hands: str = "",
    opset: int = 20,
    targets: Sequence[str] = (),
    threads: int = 1,
    force: bool = False,
) -> Manifest:
    """Write a run's best checkpoint, or a checkpoint, as a bundle; its manifest.

    store: measures the file on its `split`. dynamic_time: the graph takes clips of any length. weights: the bundle
    takes the float weights along. hands: that it was taught, `left`, `right` or `both`; "" means right where it takes
    one hand. opset: operator set of the graph, 17 to 20. targets: also what `tensorrt`, `tensorrt-rtx` or `litert`
    takes; for recognisers.
    Raises `GateError`, and writes nothing, when the graph does not compute what the model does; `UsageError` when
    `out` is taken and not `force`, or an option is not for this kind of model.
    """
    from last_edge.bundle import Bundle
    from last_edge.clips.store import ClipStore
    from last_edge.export.bundles.bundle_writer import export_run
    from last_edge.export.targets.deploy import add_targets, known_targets
    from last_edge.tasks.task import check_options
    from last_edge.train.checkpoint import task_of_run

    source, place, opened = Path(run), Path(out), None if store is None else ClipStore.open(Path(store))
    known = known_targets(list(targets))
    _use_threads(threads)
    asked = {"--dynamic-time": dynamic_time, "--weights": weights, "--hands": hands, "--target": known,
             "--opset": opset != 20}  # fmt: skip
    check_options(task_of_run(source), asked, where=run)
    manifest = export_run(
        source, place, store=opened, split=split, threads=threads, dynamic_time=dynamic_time, weights=weights,
        hands=hands, opset=opset, force=force,
    )  # fmt: skip
    if not known:
        return manifest
    add_targets(place, source, known, store=opened, split=split, threads=threads)
    return Bundle.open(place).manifest


def quantize(
    *,
    bundle: Place,
    store: Place,
    recipe: str | None = None,
    settings: Settings | None = None,
    target: str = "cpu-vnni",
    keep_float: Sequence[str] = (),
    latency_budget: float = 1.1,
    qat: bool = False,
    epochs: int = 3,
    teacher: Place | None = None,
    run: Place | None = None,
    seed: int = 0,
    split: str = "test",
    threads: int = 1,
    force: bool = False,
) -> Quantised:
    """Add a static INT8 graph to a bundle in place, ranges from the store's training split; what it holds and how well.

    settings: keys of the recipe's part `quantize`, as `{"quantize.method": "entropy"}`. target: `cpu-vnni`, `arm64`,
    `tensorrt` or `web`. keep_float: nodes that stay float; `auto` searches the most sensitive within `latency_budget`
    times the all-INT8 latency. qat: train the rounded weights for `epochs`, taught by the bundle or `teacher`. run: the
    bundle's run, whose held-out people judge choices.
    Raises `GateError`, and leaves the bundle as it was, when the file misses the recipe's limits; `UsageError` when it
    has one and not `force`.
    """
    from last_edge.bundle.zoo import find_bundle
    from last_edge.clips.store import ClipStore
    from last_edge.export.int8.plan import Plan
    from last_edge.export.int8.qat import QatOptions
    from last_edge.export.int8.quantize_bundle import quantize_bundle
    from last_edge.train.recipe import load_recipe

    plan = Plan.of(
        load_recipe(recipe, overrides=_overrides({}, settings)).quantize, target=target, keep_float=keep_float,
        latency_budget=latency_budget, run=None if run is None else Path(run), seed=seed,
        qat=QatOptions(epochs=epochs, seed=seed) if qat else None,
        teacher=None if teacher is None else find_bundle(teacher),
    )  # fmt: skip
    path, opened = find_bundle(bundle), ClipStore.open(Path(store))
    return quantize_bundle(path, opened, plan, split=split, threads=threads, force=force)


def _overrides(named: Settings, settings: Settings | None) -> list[str]:
    """Recipe values as `--set` takes them; `settings` last, so that they win."""
    from last_edge.train.recipe import set_values

    given = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (settings or {}).items()}
    return [*set_values(named.items()), *set_values(given.items())]


def _use_threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)
