"""One network as it was trained, in its deployed form and in 8 bits: timed in turns, by activation and joints."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch

from last_edge.bundle.manifest import OUTPUT_NAME
from last_edge.export.bundles.sources import golden_inputs
from last_edge.export.int8.quantize import quantize_graph
from last_edge.export.onnx.onnx_graph import plain_onnx, to_onnx
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import FeatureInput, pick
from last_edge.inputs.spec import InputSpec
from last_edge.machine import processor
from last_edge.models.registry import create_model
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.skeleton import get_layout
from last_edge.tasks.config import QuantizeConfig
from last_edge.timing import Call, Schedule, Times, clock_for, pinned, summarise, time_in_turns
from last_edge.tools.bench.record import page

FORMS = ("plain", "fp32", "int8")
"""As it was trained (`export --plain`); what `export` ships; what `quantize` ships."""
CALIBRATION = 16
OWN = "own"
"""As activation: the model's own, of those that have no choice."""


@dataclass(frozen=True)
class FormatsBench:
    """What is timed: every model with every activation at every layout's joints, by drawn weights.

    command: to stand beside the figures.
    """

    models: Sequence[str] = ("last_lite_nano", "last_e_nano")
    activations: Sequence[str] = ("relu", "hardswish")
    layouts: Sequence[str] = ("shrec22", "ntu25")
    frames: int = 64
    classes: int = 14
    threads: int = 1
    schedule: Schedule = field(default_factory=Schedule)
    command: str = ""


@dataclass(frozen=True)
class FormatRecord:
    """One network in its three forms, by form: p50_ms, the median of the rounds' medians; p95_ms, p99_ms, of all calls;
    size_bytes.

    faster: medians over rounds of the same round's two medians: `fp32` and `int8` against `plain`, `int8_fp32` INT8
    against FP32. limit_bytes: what `quantize` allows the INT8 file. clock: `processor` time of the
    one thread, or `wall`.
    """

    model: str
    activation: str
    layout: str
    params: int
    input_shape: tuple[int, ...]
    p50_ms: dict[str, float]
    p95_ms: dict[str, float]
    p99_ms: dict[str, float]
    faster: dict[str, float]
    size_bytes: dict[str, int]
    limit_bytes: int
    device: str
    cores: int
    platform: str
    backend_version: str
    threads: int
    clock: str
    rounds: int
    calls: int
    command: str
    schema_version: int = 1


@dataclass(frozen=True)
class _Network:
    model: str
    activation: str
    layout: str
    params: int
    spec: InputSpec
    features: FeatureInput | None
    graphs: dict[str, bytes]

    def calls(self, threads: int) -> list[Call]:
        """One clip by each form."""
        feed = pick(golden_inputs(self.spec, self.features), slice(1))
        sessions = [open_session(graph, threads=threads) for graph in self.graphs.values()]
        return [lambda index, session=session: session.run([OUTPUT_NAME], feed) for session in sessions]  # type: ignore[misc]


def bench_formats(asked: FormatsBench, notify: Callable[[str], None] = lambda text: None) -> list[FormatRecord]:
    """One record a network. Raises as `create_model` and `get_layout` for what is unknown."""
    networks = []
    for model, activation, layout in product(asked.models, asked.activations, asked.layouts):
        notify(f"making {model} with {activation}, {layout}")
        networks.append(_make(model, activation, layout, asked))
    notify("timing")
    calls = [call for network in networks for call in network.calls(asked.threads)]
    with pinned(asked.threads):
        times = time_in_turns(calls, asked.schedule, clock=clock_for(asked.threads))
    size = len(FORMS)
    return [_record(network, times[size * at : size * (at + 1)], asked) for at, network in enumerate(networks)]


def _make(name: str, activation: str, layout: str, asked: FormatsBench) -> _Network:
    torch.manual_seed(0)
    spec = InputSpec(get_layout(layout), frames=asked.frames, scale="limb")
    options = {} if activation == OWN else {"act": activation}
    model = create_model(name, spec=spec, classes=asked.classes, **options).eval()
    labels = tuple(map(str, range(asked.classes)))
    edge = to_onnx(model.deployed(), labels=labels, name=name)
    drawn = [pick(golden_inputs(spec, model.features, seed=seed), slice(1)) for seed in range(CALIBRATION)]
    clips = {key: np.concatenate([one[key] for one in drawn]) for key in drawn[0]}
    graphs = (plain_onnx(model, labels=labels, name=name), edge, quantize_graph(edge, clips))
    params = sum(parameter.numel() for parameter in model.parameters())
    return _Network(name, activation, layout, params, spec, model.features, dict(zip(FORMS, graphs, strict=True)))


def _record(network: _Network, times: Sequence[Times], asked: FormatsBench) -> FormatRecord:
    latency = {form: summarise(own) for form, own in zip(FORMS, times, strict=True)}
    plain, fp32, int8 = (np.median(own, axis=1) for own in times)
    pairs = {"fp32": plain / fp32, "int8": plain / int8, "int8_fp32": fp32 / int8}
    limits = QuantizeConfig()
    return FormatRecord(
        model=network.model,
        activation=network.activation,
        layout=network.layout,
        params=network.params,
        input_shape=network.spec.shape,
        p50_ms={form: each.p50 for form, each in latency.items()},
        p95_ms={form: each.p95 for form, each in latency.items()},
        p99_ms={form: each.p99 for form, each in latency.items()},
        faster={name: round(float(np.median(ratio)), 3) for name, ratio in pairs.items()},
        size_bytes={form: len(graph) for form, graph in network.graphs.items()},
        limit_bytes=int(limits.most_bytes(network.params)),
        device=processor(),
        cores=os.cpu_count() or 1,
        platform=platform.platform(),
        backend_version=OnnxRuntimeCpu.version(),
        threads=asked.threads,
        clock="processor" if asked.threads == 1 else "wall",
        rounds=asked.schedule.rounds,
        calls=asked.schedule.calls,
        command=asked.command,
    )


ABOUT = """\
The same drawn weights as `export --plain`, `export` and `quantize` write them. All networks and forms take turns in one
process that is kept on as many cores as it has threads; *faster* is the median over rounds of the same round's two
medians. Milliseconds a clip: p50 / p95 / p99. What INT8 costs in accuracy, drawn weights do not know.
"""


def _times(form: str) -> Callable[[FormatRecord], str]:
    return lambda row: f"{row.p50_ms[form]:.2f} / {row.p95_ms[form]:.2f} / {row.p99_ms[form]:.2f}"


COLUMNS: dict[str, Callable[[FormatRecord], str]] = {
    "model": lambda row: row.model,
    "activation": lambda row: row.activation,
    "joints": lambda row: str(row.input_shape[-2]),
    "plain ms": _times("plain"),
    "FP32 ms": _times("fp32"),
    "INT8 ms": _times("int8"),
    "FP32 faster than plain": lambda row: f"{row.faster['fp32']:.2f}",
    "INT8 faster than FP32": lambda row: f"{row.faster['int8_fp32']:.2f}",
    "INT8 faster than plain": lambda row: f"{row.faster['int8']:.2f}",
    "INT8 bytes (limit)": lambda row: f"{row.size_bytes['int8']:,} ({row.limit_bytes:,})",
}


def where(row: FormatRecord) -> str:
    """The machine and the turns of a row."""
    return (
        f"{row.device}, {row.cores} cores, {row.platform}; ONNX Runtime {row.backend_version}, {row.threads} threads, "
        f"{row.clock} time, {row.input_shape[0]} frames, {row.rounds} rounds of {row.calls} calls"
    )


def to_markdown(rows: Sequence[FormatRecord]) -> str:
    """A page with a table for each machine, under the command that measured it."""
    return page("Forms of a graph", ABOUT, rows, columns=COLUMNS, where=where)
