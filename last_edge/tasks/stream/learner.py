"""Streaming in a run: crops of long recordings, cross entropy at every frame, the time since a gesture began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import frame_answers, held_still, padded
from last_edge.data.augment import Augment
from last_edge.data.stream_crops import CLASS, ELAPSED, WEIGHT, Crop, CropOptions, StreamCrops, whole_recording
from last_edge.models.last_lite_stream import Answer, LastLiteStream
from last_edge.models.registry import create_streamer, resolve_name
from last_edge.tasks.config import Recipe, StreamConfig
from last_edge.tasks.objective import Objective
from last_edge.tasks.plan import Plan
from last_edge.tasks.start import Start, StartReport
from last_edge.tasks.stream.frames import frame_figures, stream_labels
from last_edge.tasks.task import Batch, Row

TOGETHER, MOST_FRAMES = 24, 60_000
"""Recordings, and frames with those that fill up the shorter ones, that are read in one batch."""
WARM_UP = 8
"""First frames of a crop that teach nothing: the state before them is empty."""
SOONEST_S = 0.1
"""Errors of the time since a gesture began count in proportion to it, but not below this many seconds."""
LARGEST_JUMP = 4.0
RANGES = ("rotation_deg", "tilt_deg", "scale", "shear", "mirror", "mask", "bones")
"""Settings of the augmentation that change a whole crop."""


class FrameObjective:
    """Cross entropy of every frame by its weight, jumps between neighbours, and the time since a gesture began.

    See `Objective`; targets are (N, T, 3), see `frame_truth`. The running normalisation has no weights and is computed
    without gradient.
    """

    def __init__(self, config: StreamConfig, *, smoothing: float, clamp: float) -> None:
        self.config, self.smoothing, self.clamp = config, smoothing, clamp
        self.parts: dict[str, Tensor] = {}

    def __call__(self, model: Any, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and logits (N, T, K)."""
        answer = self.answer(model, points)
        targets = late(targets, model.delay)
        return self.loss(answer.logits.float(), answer.elapsed.float(), targets), answer.logits

    def answer(self, model: Any, points: Tensor) -> Answer:
        """What the model says of crops (N, T, V, C), without gradient in front of its weights."""
        state = model.initial_state(len(points))
        with torch.no_grad():
            joints, whole, after = model.front.step(points, state)
            if self.clamp:
                joints, whole = joints.clamp(-self.clamp, self.clamp), whole.clamp(-self.clamp, self.clamp)
        answer: Answer = model.from_streams(joints, whole, state, after)[0]
        return answer

    def loss(self, logits: Tensor, elapsed: Tensor, targets: Tensor, share: Tensor | None = None) -> Tensor:
        """The scalar for logits (N, T, K) and seconds (N, T). share: (N, T) how much each frame's label counts."""
        weight = frame_weights(targets)
        classes, seconds = targets[..., CLASS].long(), targets[..., ELAPSED]
        by_frame = nn.functional.cross_entropy(
            logits.flatten(0, 1), classes.flatten(), reduction="none", label_smoothing=self.smoothing
        )
        by_frame = by_frame.view_as(weight) if share is None else by_frame.view_as(weight) * share
        frames = (by_frame * weight).sum() / weight.sum().clamp(min=1e-6)
        counts = (weight > 0).to(weight.dtype)
        timed = counts * (seconds > 0)
        late = ((elapsed + SOONEST_S).log() - (seconds + SOONEST_S).log()).abs()
        onset = (late * timed).sum() / timed.sum().clamp(min=1.0)
        log_p = logits.log_softmax(-1)
        jumps = (log_p[:, 1:] - log_p[:, :-1].detach()).clamp(-LARGEST_JUMP, LARGEST_JUMP).square().mean(-1)
        rough = (jumps * counts[:, 1:]).sum() / counts[:, 1:].sum().clamp(min=1.0)
        self.parts = {"frame_loss": frames, "onset_loss": onset}
        return frames + self.config.elapsed * onset + self.config.smooth * rough


def frame_objective(recipe: Recipe) -> FrameObjective:
    """As a recipe says."""
    training = recipe.training
    return FrameObjective(recipe.stream, smoothing=training.label_smoothing, clamp=training.input_clamp)


def frame_weights(targets: Tensor) -> Tensor:
    """(N, T) of truth (N, T, 3); a crop's first frames weigh nothing."""
    weight = targets[..., WEIGHT].clone()
    weight[:, :WARM_UP] = 0.0
    return weight


def late(targets: Tensor, delay: int) -> Tensor:
    """(N, T, F) what is to be answered at each frame by a model that answers `delay` frames late; first nothing."""
    return nn.functional.pad(targets, (0, 0, delay, 0))[:, : targets.shape[1]] if delay else targets


class StreamLearner:
    """See `Learner`."""

    hits_as = "train_frames"
    trunk_only = False

    def __init__(self, plan: Plan, recipe: Recipe, *, start: Start | None = None, device: str = "cpu") -> None:
        self.plan, self.recipe, self.device = plan, recipe, device
        self.start = None if start is None else start.trunk(model=resolve_name(recipe.model.name), spec=plan.spec)
        self.options, self.labels = dict(recipe.model.options), stream_labels(plan.store)
        self.texts: dict[str, str] = {}
        self.crop_options = CropOptions(
            **{part.name: getattr(recipe.stream, part.name) for part in fields(CropOptions)}
        )

    @property
    def facts(self) -> dict[str, Any]:
        """How much is shown."""
        store, spans = self.plan.store, [self.plan.store.index.spans[clip] for clip in self.plan.train]
        seconds = float((store.index.length / store.index.fps)[self.plan.train].sum())
        return {"train_gestures": sum(map(len, spans)), "train_minutes": round(seconds / 60, 1)}

    def model(self) -> nn.Module:
        """See `Learner`."""
        name = resolve_name(self.recipe.model.name)
        model: nn.Module = create_streamer(name, spec=self.plan.spec, classes=len(self.labels), **self.options)
        return model

    def begin(self, model: nn.Module) -> StartReport | None:
        """Take over what was learnt before, all but the head."""
        return None if self.start is None else self.start.into(model)

    def objective(self) -> FrameObjective:
        """See `FrameObjective`."""
        return frame_objective(self.recipe)

    @cached_property
    def timing(self) -> tuple[float, int]:
        """Frames a second of the model, and frames that its answers come late."""
        with torch.device("meta"):
            model = self.model()
        assert isinstance(model, LastLiteStream)
        return model.rate, model.delay

    @cached_property
    def crops(self) -> StreamCrops:
        """The training recordings."""
        return StreamCrops(
            self.plan.store, self.plan.train, frames=self.plan.spec.frames, rate=self.timing[0],
            ranges=Augment(**{name: getattr(self.recipe.augment, name) for name in RANGES}), options=self.crop_options,
            noise=self.recipe.augment.noise_joint,
        )  # fmt: skip

    def batches(self, epoch: int, batches: list[list[int]], done: int) -> Iterator[Batch]:
        """See `Learner`; what is drawn depends on seed, epoch and recording alone."""
        for items in batches[done:]:
            seeds = ([self.recipe.seed, epoch, item] for item in items)
            crops = [
                self.crops.crop(item, np.random.default_rng(seed)) for item, seed in zip(items, seeds, strict=True)
            ]
            points, truth = (torch.from_numpy(np.stack(part)) for part in zip(*map(_both, crops), strict=True))
            yield Batch(points, truth, torch.from_numpy(self.plan.train[items]), epoch)

    def targets(self, points: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """As they are."""
        return points, labels

    def hits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum over crops of the share of their weighed frames that is right."""
        labels = late(labels, self.timing[1])
        weight = labels[..., WEIGHT]
        right = (logits.argmax(-1) == labels[..., CLASS]) * weight
        return (right.sum(1) / weight.sum(1).clamp(min=1e-6)).sum()

    def validate(self, model: nn.Module, objective: Objective) -> Row:
        """`val_loss`, and `val_top1`: percent of frames, a mean over the classes."""
        plain = self.objective()
        losses, answers, wanted = [], [], []
        for clip, logits, elapsed, truth in stream_answers(
            model, self.plan.store, self.plan.val, options=self.crop_options, device=self.device
        ):
            targets = torch.from_numpy(truth)[None]
            losses.append(float(plain.loss(torch.from_numpy(logits)[None], torch.from_numpy(elapsed)[None], targets)))
            answers.append(logits.argmax(1))
            wanted.append(truth[:, CLASS].astype(np.int64))
            del clip
        figures = frame_figures(np.concatenate(answers), np.concatenate(wanted), self.labels)
        return {"val_loss": float(np.mean(losses)), "val_top1": figures["mean_class"]}

    def measure(self, chosen: Callable[[nn.Module], nn.Module], row: Row, *, test: bool) -> dict[str, Any]:
        """Shares of frames of validation recordings and, where they may be looked at, test recordings; of spans see
        `last-edge eval --stream`."""
        model, plan = chosen(self.model()).to(self.device), self.plan
        found: dict[str, Any] = {}
        for name, clips in {"val": plan.val, **({"test": plan.test} if test else {})}.items():
            if len(clips):
                parts = list(stream_answers(model, plan.store, clips, options=self.crop_options, device=self.device))
                answers = np.concatenate([logits.argmax(1) for _, logits, _, _ in parts])
                wanted = np.concatenate([truth[:, CLASS].astype(np.int64) for *_, truth in parts])
                found[name] = frame_figures(answers, wanted, self.labels)
        return found


@torch.inference_mode()
def frame_logits(model: nn.Module, store: ClipStore, clips: NDArray[np.int64]) -> NDArray[np.float32]:
    """(F, K) of every frame of some recordings at their own rate, one recording behind the other."""
    assert isinstance(model, LastLiteStream)

    def answer(points: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(model(torch.from_numpy(points)).logits.float().numpy())

    return frame_answers(answer, store, clips, model.spec, rate=model.rate, delay=model.delay)


def _both(crop: Crop) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return crop.points, crop.truth


Found = tuple[int, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@torch.inference_mode()
def stream_answers(
    model: nn.Module, store: ClipStore, clips: NDArray[np.int64], *, options: CropOptions | None = None,
    device: str = "cpu",
) -> Iterator[Found]:  # fmt: skip
    """Of each recording its number, logits (T, K), seconds (T,) and truth (T, 3) at the model's rate, in order.

    The model is in eval mode; recordings are read from their first frame, several at once.
    """
    assert isinstance(model, LastLiteStream)
    options = options or CropOptions()
    for numbers in _batches(clips, (store.index.length / store.index.fps * model.rate)[clips]):
        whole = [whole_recording(store, clip, rate=model.rate, options=options) for clip in numbers]
        points = padded([held_still(crop.points, model.delay) for crop in whole])
        answer = model(torch.from_numpy(points).to(device))
        logits, elapsed = answer.logits.float().cpu().numpy(), answer.elapsed.float().cpu().numpy()
        for place, (clip, crop) in enumerate(zip(numbers, whole, strict=True)):
            own = slice(model.delay, model.delay + len(crop.points))
            yield clip, logits[place, own], elapsed[place, own], crop.truth


def _batches(clips: NDArray[np.int64], frames: NDArray[np.float64]) -> list[list[int]]:
    """Clips in order, as many together as memory allows. frames: (N,) of each."""
    batches: list[list[int]] = []
    longest = 0.0
    for clip, length in zip(clips.tolist(), frames.tolist(), strict=True):
        longest = max(longest, length)
        if not batches or len(batches[-1]) == TOGETHER or (len(batches[-1]) + 1) * longest > MOST_FRAMES:
            batches.append([])
            longest = length
        batches[-1].append(clip)
    return batches
