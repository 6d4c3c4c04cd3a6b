"""What others recognise skeletons with: bodies of a landmark model, trained by one recipe or timed by drawn weights.

A body takes streams (N, 3*C, T, V) of joint, velocity and bone, reads the joints' alone and gives logits (N, K). Widths
and depths are those of the papers; what a paper leaves to its code is told in each docstring. `register()` puts them
into the table of models, which the project's own commands do without.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import OUTPUT_NAME
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips, plain_batch
from last_edge.errors import UsageError
from last_edge.export.onnx.onnx_graph import plain_onnx
from last_edge.export.onnx.session import logits_of, open_session
from last_edge.files import writing
from last_edge.inputs.features import LANDMARKS
from last_edge.inputs.spec import InputSpec
from last_edge.machine import processor
from last_edge.models.landmark_model import Body, LandmarkModel
from last_edge.models.registry import BUILDERS
from last_edge.names import did_you_mean
from last_edge.skeleton.layout import spatial_partition
from last_edge.tasks.config import Recipe
from last_edge.tasks.metrics import metrics_of, wilson
from last_edge.timing import Call, Schedule, clock_for, pinned, summarise, time_in_turns
from last_edge.tools.bench.record import page
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.recipe import identity_of, load_recipe
from last_edge.train.request import Report, Request, silent
from last_edge.train.run import run_training

KERNEL = 9
SPLIT = "test"


class Graph(nn.Module):
    """(N, C, T, V) -> (N, C', T, V): a 1x1 convolution for each part of the neighbourhood, summed over neighbours, with
    a learnt weight on each edge (Yan et al. 2018, eq. 10)."""

    adjacency: Tensor

    def __init__(self, channels: int, out: int, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.conv = nn.Conv2d(channels, out * len(adjacency), 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.conv(x).chunk(len(self.adjacency), dim=1)
        weights = self.adjacency * self.importance
        return torch.stack([part @ weights[place].T for place, part in enumerate(parts)]).sum(0)


class RefinedGraph(nn.Module):
    """(N, C, T, V) -> (N, C', T, V): a topology a channel, a shared learnt one plus what the clip's own joints say
    (Chen et al. 2021, eq. 3 to 5: M(x) = tanh(phi(x_i) - psi(x_j)), widened to the channels, times a learnt alpha)."""

    def __init__(self, channels: int, out: int, adjacency: Tensor) -> None:
        super().__init__()
        self.shared = nn.Parameter(adjacency.clone())
        narrow = max(channels // 8, 8)
        self.query = nn.ModuleList(nn.Conv2d(channels, narrow, 1) for _ in adjacency)
        self.key = nn.ModuleList(nn.Conv2d(channels, narrow, 1) for _ in adjacency)
        self.widen = nn.ModuleList(nn.Conv2d(narrow, out, 1) for _ in adjacency)
        self.value = nn.ModuleList(nn.Conv2d(channels, out, 1) for _ in adjacency)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        total = None
        pose = x.mean(2, keepdim=True)
        for place in range(len(self.shared)):
            query, key = self.query[place](pose), self.key[place](pose)
            apart = torch.tanh(query.squeeze(2).unsqueeze(-1) - key)
            weight, bias = self.widen[place].parameters()
            own = functional.conv2d(apart, self.alpha.view(1, 1, 1, 1) * weight, self.alpha * bias)
            topology = self.shared[place] + own
            part: Tensor = self.value[place](x) @ topology.transpose(2, 3)
            total = part if total is None else total + part
        assert total is not None
        return total


def temporal(channels: int, stride: int, *, kernel: int = KERNEL, dilation: int = 1) -> nn.Conv2d:
    """A convolution over frames that keeps their number but for the stride."""
    pad = (kernel - 1) * dilation // 2
    return nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (pad, 0), (dilation, 1))


class MultiScale(nn.Module):
    """(N, C, T, V) -> (N, C, T/stride, V): four branches of a quarter of the channels: kernels of 5 frames, dilated by
    1 and 2, a maximum over 3 frames, and a 1x1 convolution (Chen et al. 2021, figure 4b)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        part = channels // 4

        def reduce() -> list[nn.Module]:
            return [nn.Conv2d(channels, part, 1), nn.BatchNorm2d(part), nn.ReLU()]

        self.branches = nn.ModuleList([
            nn.Sequential(*reduce(), temporal(part, stride, kernel=5), nn.BatchNorm2d(part)),
            nn.Sequential(*reduce(), temporal(part, stride, kernel=5, dilation=2), nn.BatchNorm2d(part)),
            nn.Sequential(*reduce(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(part)),
            nn.Sequential(nn.Conv2d(channels, part, 1, (stride, 1)), nn.BatchNorm2d(part)),
        ])  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Block(nn.Module):
    """Graph convolution, then frames, with a residual around both."""

    def __init__(self, channels: int, out: int, stride: int, *, graph: nn.Module, frames: nn.Module) -> None:
        super().__init__()
        self.graph = nn.Sequential(graph, nn.BatchNorm2d(out), nn.ReLU())
        self.frames = nn.Sequential(frames, nn.BatchNorm2d(out))
        same = channels == out and stride == 1
        around = nn.Sequential(nn.Conv2d(channels, out, 1, (stride, 1)), nn.BatchNorm2d(out))
        self.around: nn.Module = nn.Identity() if same else around

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.frames(self.graph(x)) + self.around(x))


class GraphNetwork(Body):
    """Ten blocks of 64, 128 and 256 channels, halving the frames twice; mean over frames and joints, linear layer."""

    PLAN = ((64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))

    def __init__(self, spec: InputSpec, classes: int, *, refined: bool) -> None:
        super().__init__()
        adjacency = torch.from_numpy(spatial_partition(spec.layout))
        self.axes, channels = spec.channels, spec.channels
        self.norm = nn.BatchNorm1d(channels * spec.layout.joints)
        blocks: list[nn.Module] = []
        for out, stride in self.PLAN:
            graph = RefinedGraph(channels, out, adjacency) if refined else Graph(channels, out, adjacency)
            frames: nn.Module = MultiScale(out, stride)
            if not refined:
                frames = nn.Sequential(temporal(out, stride), nn.Dropout(0.1))
            blocks.append(Block(channels, out, stride, graph=graph, frames=frames))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, streams: Tensor) -> Tensor:
        x = streams[:, : self.axes]
        n, c, t, v = x.shape
        x = self.norm(x.transpose(2, 3).reshape(n, c * v, t)).reshape(n, c, v, t).transpose(2, 3)
        return self.head(self.blocks(x).mean((2, 3)))


class Recurrent(Body):
    """A frame's points as one vector through recurrent layers; the last state through linear layers to the classes.

    widths: of the layers; dense: of the linear ones between.
    """

    def __init__(
        self, spec: InputSpec, classes: int, *, cell: str, widths: tuple[int, ...], dense: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.axes, width = spec.channels, spec.channels * spec.layout.joints
        self.layers = nn.ModuleList()
        for out in widths:
            self.layers.append(
                nn.GRU(width, out, batch_first=True) if cell == "gru" else nn.LSTM(width, out, batch_first=True)
            )
            width = out
        parts: list[nn.Module] = []
        for out in dense:
            parts += [nn.Linear(width, out), nn.ReLU()]
            width = out
        self.head = nn.Sequential(*parts, nn.Linear(width, classes))

    def forward(self, streams: Tensor) -> Tensor:
        x = streams[:, : self.axes].transpose(1, 2).flatten(2)
        for layer in self.layers:
            x, _ = layer(x)
        return self.head(x[:, -1])


def _frames_convolved(channels: int, out: int, kernel: int) -> nn.Sequential:
    pad = nn.Identity() if kernel == 1 else nn.ConstantPad1d((1, 1), 0.0)
    return nn.Sequential(pad, nn.Conv1d(channels, out, kernel, bias=False), nn.BatchNorm1d(out), nn.LeakyReLU(0.2))


class DoubleFeatures(Body):
    """Distances between all joints of a frame, and the points' motion at two speeds, each embedded apart, then three
    pairs of convolutions over frames (Yang et al. 2019, figure 3). filters: 16 in the small network, 64 in the large.

    The fast motion is taken between neighbouring frames and halved in number after its embedding, the slow one between
    every second.
    """

    def __init__(self, spec: InputSpec, classes: int, *, filters: int) -> None:
        super().__init__()
        joints, self.axes = spec.layout.joints, spec.channels
        upper = torch.triu_indices(joints, joints, 1)
        self.register_buffer("one", upper[0])
        self.register_buffer("other", upper[1])
        points = spec.channels * joints

        def embed(width: int, *, pool: bool) -> nn.Sequential:
            parts: list[nn.Module] = [
                _frames_convolved(width, 2 * filters, 1), nn.Dropout1d(0.1),
                _frames_convolved(2 * filters, filters, 3), nn.Dropout1d(0.1),
                _frames_convolved(filters, filters, 1),
            ]  # fmt: skip
            return nn.Sequential(*parts, *([nn.MaxPool1d(2)] if pool else []), nn.Dropout1d(0.1))

        self.distances, self.fast = embed(upper.shape[1], pool=True), embed(points, pool=True)
        self.slow = embed(points, pool=False)
        stages: list[nn.Module] = []
        width = 3 * filters
        for out, pool in ((2 * filters, True), (4 * filters, True), (8 * filters, False)):
            stages += [_frames_convolved(width, out, 3), _frames_convolved(out, out, 3)]
            stages += [nn.MaxPool1d(2), nn.Dropout1d(0.1)] if pool else []
            width = out
        self.stages = nn.Sequential(*stages)
        dense = [nn.Linear(width, 128), nn.BatchNorm1d(128), nn.LeakyReLU(0.2), nn.Dropout(0.5)]
        self.head = nn.Sequential(*dense, nn.Linear(128, classes))

    one: Tensor
    other: Tensor

    def forward(self, streams: Tensor) -> Tensor:
        x = streams[:, : self.axes]
        apart = (x[..., self.one] - x[..., self.other]).square().sum(1).clamp_min(1e-12).sqrt()
        flat = x.transpose(1, 2).flatten(2).transpose(1, 2)
        fast = functional.pad(flat[..., 1:] - flat[..., :-1], (0, 1))
        sparse = flat[..., ::2]
        slow = functional.pad(sparse[..., 1:] - sparse[..., :-1], (0, 1))
        features = [self.distances(apart.transpose(1, 2)), self.slow(slow), self.fast(fast)]
        return self.head(self.stages(torch.cat(features, 1)).amax(2))


Make = Callable[[InputSpec, int], Body]
PEERS: dict[str, tuple[str, Make]] = {
    "peer_st_gcn": ("ST-GCN, Yan et al. 2018", lambda spec, classes: GraphNetwork(spec, classes, refined=False)),
    "peer_ctr_gcn": ("CTR-GCN-like, Chen et al. 2021", lambda spec, classes: GraphNetwork(spec, classes, refined=True)),
    "peer_dd_net_small": ("DD-Net-like, 16 filters, Yang et al. 2019",
                          lambda spec, classes: DoubleFeatures(spec, classes, filters=16)),
    "peer_dd_net": ("DD-Net-like, 64 filters, Yang et al. 2019",
                    lambda spec, classes: DoubleFeatures(spec, classes, filters=64)),
    "peer_gru": ("two GRU layers of 128",
                 lambda spec, classes: Recurrent(spec, classes, cell="gru", widths=(128, 128), dense=())),
    "peer_lstm": ("the tutorials' LSTM: 64, 128, 64, then 64 and 32 (on 1662 numbers a frame there)",
                  lambda spec, classes: Recurrent(spec, classes, cell="lstm", widths=(64, 128, 64), dense=(64, 32))),
}  # fmt: skip
"""Title and maker by name."""


def build(name: str, spec: InputSpec, classes: int) -> LandmarkModel:
    """A peer behind the same front as this project's models; `UsageError` for input of two bodies."""
    if spec.bodies > 1:
        raise UsageError("peers read one body", got=f"input.bodies={spec.bodies}")
    return LandmarkModel(spec, PEERS[name][1](spec, classes))


def register() -> None:
    """Let recipes and checkpoints name the peers in this process."""
    for name in PEERS:
        BUILDERS.setdefault(name, lambda spec, classes, name=name, **options: build(name, spec, classes))


@dataclass(frozen=True)
class PeerRecord:
    """A trained peer. top1, top3: percent over `n` test clips by the exported file itself. epochs, frames, seed: of the
    recipe.

    params: weights. file: the ONNX file; clips_per_s: of the last epoch's training, one process. p50_ms, p95_ms: a
    clip of that file, all in turns on one core by the thread's own processor time; None where it was not timed.
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
    frames: int = 0
    size_bytes: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    device: str = ""
    command: str = ""
    schema_version: int = 1


def peer_names(wanted: Sequence[str], *, own: bool = False) -> tuple[str, ...]:
    """The wanted peers, all where none is named, with or without `peer_`; `UsageError` for an unknown one.

    own: this project's models may be named too.
    """
    known = {name.removeprefix("peer_"): name for name in PEERS}
    known |= {name: name for name in BUILDERS if own and name not in PEERS}
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
    name: str, recipe: Recipe, store: Path, out: Path, *, device: str = "cpu", command: str = "",
    report: Report = silent,
) -> PeerRecord:  # fmt: skip
    """Train a peer, or a model of ours, by a recipe into OUT/NAME, or go on with that, and export it as OUT/NAME.onnx.

    The same windows, augmentation, validation people and schedule as any model of the recipe. Raises as `run_training`,
    and `UsageError` where OUT/NAME was finished by another recipe.
    """
    register()
    own = replace(recipe, model=replace(recipe.model, name=name, options={}))
    run = out / name
    if not (run / "final.json").exists():
        run_training(Request(own, store, run, device=device), report=report)
    elif identity_of(load_recipe(str(run / "recipe.yaml"))) != identity_of(own):
        raise UsageError("trained by another recipe", where=run, hint="another --out")
    checkpoint = load_checkpoint(run)
    content = plain_onnx(checkpoint.model, labels=checkpoint.labels, name=name)
    with writing(out / f"{name}.onnx") as stream:
        stream.write(content)
    opened = ClipStore.open(store)
    clips = labelled_clips(opened, SPLIT)
    measured = metrics_of(logits_of(content, plain_batch(opened, clips, checkpoint.spec)), opened, clips)
    timing = [json.loads(line) for line in (run / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    return PeerRecord(
        name=name, title=PEERS[name][0] if name in PEERS else f"`{name}`, from labels alone",
        params=sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        top1=measured["top1"], top3=measured["top3"], n=measured["n"], epochs=recipe.training.epochs, seed=recipe.seed,
        clips_per_s=float(timing[-1]["clips_per_s"]) if timing else 0.0, file=f"{name}.onnx",
        store_sha256=opened.sha256, frames=checkpoint.spec.frames, size_bytes=len(content), command=command,
    )  # fmt: skip


def time_peers(rows: Sequence[PeerRecord], out: Path) -> list[PeerRecord]:
    """The records with the latency of their files in `out`, all of them in turns on one core."""
    calls: list[Call] = []
    for row in rows:
        session = open_session((out / row.file).read_bytes(), threads=1)
        shape = [1, *session.get_inputs()[0].shape[1:]]
        clip = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        calls.append(lambda index, session=session, clip=clip: session.run([OUTPUT_NAME], {LANDMARKS: clip}))  # type: ignore[misc]
    with pinned(1):
        times = time_in_turns(calls, Schedule(), clock=clock_for(1))
    latencies = [summarise(own) for own in times]
    return [
        replace(row, p50_ms=latency.p50, p95_ms=latency.p95, device=processor())
        for row, latency in zip(rows, latencies, strict=True)
    ]


def to_markdown(rows: Sequence[PeerRecord]) -> str:
    """A page: accuracy beside latency and size, the most accurate first, under the commands that measured them."""
    ordered = sorted(rows, key=lambda row: -row.top1)
    return page("Peers", ABOUT, ordered, columns=COLUMNS, where=where)


ABOUT = """\
Trained by one recipe from labels alone, the test split measured once, of the exported float file; files timed in turns
on one core by the thread's own processor time.
"""
COLUMNS: dict[str, Callable[[PeerRecord], str]] = {
    "network": lambda row: row.title,
    "parameters": lambda row: f"{row.params:,}",
    "test top-1 %": lambda row: f"{row.top1:.2f}",
    "95% interval": lambda row: "{:.1f} to {:.1f}".format(*wilson(round(row.top1 * row.n / 100), row.n)),
    "top-3 %": lambda row: f"{row.top3:.2f}",
    "ms a clip, p50 / p95": lambda row: "" if row.p50_ms is None else f"{row.p50_ms:.2f} / {row.p95_ms:.2f}",
    "file kB": lambda row: "" if row.size_bytes is None else f"{row.size_bytes / 1000:,.0f}",
    "trained, clips/s": lambda row: f"{row.clips_per_s:.0f}",
}


def where(row: PeerRecord) -> str:
    """The machine, windows and schedule of a row."""
    return f"{row.device or 'not timed'}; windows of {row.frames} frames, {row.epochs} epochs, seed {row.seed}"
