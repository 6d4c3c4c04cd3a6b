"""Recognition in a run: clips as fixed windows, beside them features of a second input; cross entropy, top-1."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from last_edge.clips.features import ClipFeatures, features_for, open_features
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.data.augment import Augment
from last_edge.data.dataset import ClipDataset, DeviceClips
from last_edge.errors import UsageError
from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models import create_model
from last_edge.models.hybrid_nslt import Options
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.point_kernel import PointKernelBody
from last_edge.models.registry import adjust, resolve_name
from last_edge.names import is_background
from last_edge.tasks.config import AugmentConfig, Recipe
from last_edge.tasks.metrics import metrics_of
from last_edge.tasks.objective import WEIGHT_POWERS, CrossEntropy, Objective, class_weights
from last_edge.tasks.plan import Plan
from last_edge.tasks.start import Start, StartReport
from last_edge.tasks.task import Batch, Row, Views

BATCH = 64
HYBRIDS = ("hybrid_nslt",)
SOLVED = ("point_kernel",)
"""Models whose weights follow from the training clips before the first step."""
WIDTH = "feature_dim"
log = logging.getLogger(__name__)


class OneHot:
    """See `Truth`. width: columns of the logits. mixup: of `TrainingConfig`, 0 for none."""

    def __init__(self, width: int, mixup: float) -> None:
        self.width, self.mixup = width, mixup

    def targets(self, points: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """One-hot labels (N, K); both mixed with their mirror image in the batch by one weight (Zhang et al. 2018)."""
        targets = (labels[:, None] == torch.arange(self.width, device=labels.device)).float()
        if not self.mixup:
            return points, targets
        weight = float(np.random.default_rng(seed).beta(self.mixup, self.mixup))
        return weight * points + (1 - weight) * points.flip(0), weight * targets + (1 - weight) * targets.flip(0)

    def hits(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.argmax(1) == labels).sum()


class ClassLearner(OneHot):
    hits_as = "train_top1"
    trunk_only = False

    def __init__(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> None:
        self.plan, self.recipe, self.views, self.device = plan, recipe, views, device
        self.options, self.labels = dict(recipe.model.options), plan.store.labels
        self.texts: dict[str, str] = {}
        self.solved = resolve_name(recipe.model.name) in SOLVED
        if self.solved:
            if start is not None:
                hint = "train without --init and --finetune; teach with --base none"
                raise UsageError(f"{recipe.model.name} follows from its clips alone", got=start.path, hint=hint)
            self.options["centres"] = len(plan.train)
        super().__init__(len(self.labels), recipe.training.mixup)
        if views is not None and views.count and recipe.training.augment_on == "device":
            hint = "--set training.augment_on=processor, or --set distill.cache_views=0"
            raise UsageError("fixed views are drawn by the processor", where="training.augment_on", hint=hint)
        self.start = None if start is None else start.trunk(model=resolve_name(recipe.model.name), spec=plan.spec)

    @property
    def facts(self) -> dict[str, Any]:
        """Nothing more."""
        return {}

    def model(self) -> LandmarkModel:
        return create_model(self.recipe.model.name, spec=self.plan.spec, classes=self.width, **self.options)

    def begin(self, model: nn.Module) -> StartReport | None:
        if self.solved:
            self._solve(model)
        return None if self.start is None else self.start.into(model)

    @torch.inference_mode()
    def _solve(self, model: nn.Module) -> None:
        """Give a model of `SOLVED` its weights from the training clips, not augmented."""
        assert isinstance(model, LandmarkModel) and isinstance(model.body, PointKernelBody)
        plan, labels = self.plan, self.plan.store.index.label[self.plan.train]
        batches = (plan.train[start : start + BATCH] for start in range(0, len(plan.train), BATCH))
        points = (next(iter(plain_batch(plan.store, clips, plan.spec, None).values())) for clips in batches)
        streams = torch.cat([model.front(torch.from_numpy(batch)) for batch in points])
        silent = torch.tensor([is_background(self.labels[label]) for label in labels.tolist()])
        model.body.solve(streams, torch.from_numpy(labels), silent=silent)

    def objective(self) -> Objective:
        return cross_entropy(self.recipe, self.plan, self.device)

    @cached_property
    def clips(self) -> ClipDataset | DeviceClips:
        """The training clips, augmented as the recipe says and where it says."""
        plan, drawn = self.plan, ranges(self.recipe.augment)
        if self.recipe.training.augment_on == "device":
            return DeviceClips(
                plan.store, plan.train, spec=plan.spec, ranges=drawn, seed=self.recipe.seed, device=self.device
            )
        seed, count = (self.recipe.seed, 0) if self.views is None else (self.views.seed, self.views.count)
        return ClipDataset(plan.store, plan.train, spec=plan.spec, ranges=drawn, seed=seed, views=count)

    def batches(self, epoch: int, batches: list[list[int]], done: int) -> Iterator[Batch]:
        self.clips.epoch = epoch
        left = batches[done:]
        if isinstance(self.clips, DeviceClips):
            drawn: Iterable[tuple[Tensor, Tensor, Tensor]] = (self.clips.batch(items) for items in left)
        else:
            workers, pin = self.recipe.training.workers, self.device.startswith("cuda")
            drawn = DataLoader(self.clips, batch_sampler=left, num_workers=workers, pin_memory=pin)
        for points, labels, clips in drawn:
            yield Batch(points, labels, clips, self.clips.view)

    def validate(self, model: nn.Module, objective: Objective) -> Row:
        """`val_loss`, cross entropy without smoothing, and `val_top1` in percent; `clean_loss` and `clean_top1` are the
        same of as many training clips, spread over all of them, seen as validation sees its own: not augmented.
        """
        plan = self.plan
        row: Row = {}
        spread = np.linspace(0, len(plan.train) - 1, min(len(plan.val), len(plan.train))).astype(np.int64)
        for name, clips in (("val", plan.val), ("clean", plan.train[spread])):
            logits = predict(model, plan.store, clips, spec=plan.spec, device=self.device)
            labels = plan.store.index.label[clips]
            loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
            row |= {f"{name}_loss": float(loss), f"{name}_top1": 100.0 * float(np.mean(logits.argmax(1) == labels))}
        return row

    def measure(self, chosen: Callable[[nn.Module], nn.Module], row: Row, *, test: bool) -> dict[str, Any]:
        """Metrics on validation clips and, where the test split may be looked at, once on test clips."""
        model, plan = chosen(self.model()).to(self.device), self.plan
        parts = {"val": plan.val, **({"test": plan.test} if test else {})}
        return {
            name: metrics_of(predict(model, plan.store, clips, spec=plan.spec, device=self.device), plan.store, clips)
            for name, clips in parts.items()
            if len(clips)
        }


def cross_entropy(recipe: Recipe, plan: Plan, device: str) -> CrossEntropy:
    """The plain objective of `last-edge train`; of a model with a second input the one that brings it."""
    t, labels = recipe.training, plan.store.index.label[plan.train]
    power = WEIGHT_POWERS[t.class_weights]
    weights = torch.from_numpy(class_weights(labels, len(plan.store.labels), power=power)) if power else None
    kind = (
        partial(FeatureCrossEntropy, open_second_input(recipe, plan.store)) if reads_features(recipe) else CrossEntropy
    )
    return kind(
        smoothing=t.label_smoothing, noise=recipe.augment, clamp=t.input_clamp, ib_weight=t.ib_loss_weight,
        gamma=t.focal_gamma if t.loss == "focal" else 0.0, weights=weights,
        weights_from=t.class_weights_from,
    )  # fmt: skip


def ranges(config: AugmentConfig) -> Augment:
    """The part of the augmentation that changes points; noise is added to the streams."""
    names = ("rotation_deg", "tilt_deg", "scale", "shear", "crop", "warp", "mirror", "mask", "bones")
    return Augment(**{name: getattr(config, name) for name in names})


@torch.inference_mode()
def predict(
    model: nn.Module, store: ClipStore, clips: NDArray[np.int64], *, spec: InputSpec, device: str = "cpu"
) -> NDArray[np.float32]:
    """(n, K) float32 logits of clips, plain windows, model in eval mode and put back as it was."""
    training = model.training
    model.eval()
    features = model.features if isinstance(model, LandmarkModel) else None
    parts = []
    for start in range(0, len(clips), BATCH):
        batch = plain_batch(store, clips[start : start + BATCH], spec, features)
        inputs = (torch.from_numpy(part).to(device) for part in batch.values())
        parts.append(model(*inputs).float().cpu())
    model.train(training)
    return np.asarray(torch.cat(parts).numpy())


@dataclass(frozen=True)
class SecondInput:
    """A store's features and what a model reads of them."""

    features: ClipFeatures
    wanted: FeatureInput


def reads_features(recipe: Recipe) -> bool:
    """Whether a recipe's model has a second input."""
    return resolve_name(recipe.model.name) in HYBRIDS


def second_input(recipe: Recipe) -> FeatureInput:
    """What the recipe's model reads beside landmarks."""
    return adjust(Options(), recipe.model.options).second_input


def open_second_input(recipe: Recipe, store: ClipStore) -> SecondInput:
    """The store's features for a recipe's model; `InputError` where there are none, or none of that width."""
    wanted = second_input(recipe)
    return SecondInput(features_for(store, wanted), wanted)


def fit_second_input(recipe: Recipe, store: ClipStore) -> Recipe:
    """The recipe with its model's `feature_dim` that of the store's features; with a warning where it said another.

    A recipe of a model with one input comes back as it is. `InputError` where the store has no such features.
    """
    if not reads_features(recipe):
        return recipe
    if recipe.training.mixup:
        raise UsageError("mixup does not mix features", where="training.mixup", hint="--set training.mixup=0")
    wanted = second_input(recipe)
    found = open_features(store, wanted.name).width
    if WIDTH in recipe.model.options and found != wanted.width:
        log.warning(
            "features %r have %d numbers a frame, the recipe says %d: the model is built for %d",
            wanted.name, found, wanted.width, found,
        )  # fmt: skip
    fitted = {"features": wanted.name, "feature_frames": wanted.frames, WIDTH: found}
    model = dataclasses.replace(recipe.model, options={**recipe.model.options, **fitted})
    return dataclasses.replace(recipe, model=model)


class FeatureCrossEntropy(CrossEntropy):
    """`CrossEntropy` of a model that reads features: those of the batch's clips, as they are stored."""

    def __init__(self, source: SecondInput, **settings: Any) -> None:
        super().__init__(**settings)
        self.source, self.helpers = source, nn.Module()
        self._rows = torch.empty(0)

    def begin_batch(self, clips: Tensor, view: int) -> None:
        """Fetch the features of the batch to come, (N, F, E)."""
        self._rows = torch.from_numpy(self.source.features.windows(clips.tolist(), self.source.wanted.frames))

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = model.from_streams(self.streams(model, points), self._rows.to(points.device))
        return self.loss(model, logits, targets), logits
