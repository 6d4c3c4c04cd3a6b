"""The schema of a recipe: every setting with its default, its meaning and what it may be.

YAML gives values and `--set` wins over it (see `last_edge.train.recipe`); the command line takes its help from here.
"""

import dataclasses
from dataclasses import MISSING, dataclass, field
from typing import Any, TypeVar, get_type_hints

Value = TypeVar("Value")
LAST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Setting:
    """What is known of a setting. choices: what a text may be. low, high: bounds that are allowed; above, below: bounds
    that are not. Of a list they hold for every item. default, kind: as the field of the dataclass says.
    """

    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    default: Any = None
    kind: Any = None

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type is one of the choices or within the bounds."""
        if self.choices:
            return value in self.choices
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    @property
    def bounds(self) -> str:
        """What `low` to `below` allow, in words."""
        limits = {"above": self.above, "at least": self.low, "below": self.below, "at most": self.high}
        return " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)


def setting(default: Value, help: str, **limits: Any) -> Value:
    """A dataclass field with a `Setting`; `MISSING` as default for one that must be given."""
    metadata = {"setting": Setting(help, **limits)}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)  # type: ignore[return-value]
    return field(default=default, metadata=metadata)


@dataclass
class ModelConfig:
    """Which model."""

    name: str = setting("last_e_nano", "registered name of a model")
    options: dict[str, Any] = field(default_factory=dict)
    """Changes to the variant, such as `dropout` or `use_st_att`."""


@dataclass
class InputConfig:
    """How clips become input; see `InputSpec` for each. The layout and axes come from the store."""

    frames: int = setting(64, "frames of a window", above=0, high=10_000)
    centre: str = setting("first", "where the origin is put", choices=("first", "frame", "none"))
    scale: str = setting("none", "what becomes length 1", choices=("limb", "frame", "none"))
    streams: list[str] = setting(["joint", "velocity", "bone"], "what the model reads of the points")
    bodies: int = setting(1, "bodies of a clip that are read", above=0, high=100)


@dataclass
class TrainingConfig:
    """How the weights are found."""

    epochs: int = setting(90, "times that every clip is seen", above=0, high=1_000_000)
    batch_size: int = setting(32, "clips of a batch, in each process", above=0, high=100_000)
    gradient_accumulation_steps: int = setting(1, "batches that share one optimiser step", above=0, high=1_000_000)
    optimizer: str = setting("sgd", "sgd (momentum, nesterov) or adamw (betas .9, .999)", choices=("sgd", "adamw"))
    lr: float = setting(0.1, "highest learning rate", above=0)
    momentum: float = setting(0.9, "of sgd")
    nesterov: bool = setting(True, "of sgd")
    weight_decay: float = setting(0.0004, "of convolutions and linear layers")
    scheduler: str = setting(
        "cosine_warmup",
        "all but constant rise linearly from warmup_start_lr to lr over warmup_epochs; then cosine_warmup falls as one "
        "cosine to min_lr, cosine_warmup_epochs the same with a step each epoch, cosine_warmup_restart falls so in "
        "cycles, and multistep_warmup multiplies by gamma at each of milestones",
        choices=("cosine_warmup", "cosine_warmup_epochs", "cosine_warmup_restart", "multistep_warmup", "constant"),
    )
    warmup_epochs: int = setting(
        5, "epochs of warm-up, -1 for a tenth of the run, at least ten", low=-1, high=1_000_000
    )
    warmup_start_lr: float = setting(0.01, "rate at the first step")
    warmup_start_share: float = setting(
        0.0, "begin the warm-up at this share of lr instead, 0 for warmup_start_lr", low=0, high=1
    )
    min_lr: float = setting(0.0001, "lowest rate of a cosine")
    restart_period: int = setting(30, "epochs of the first cycle of cosine_warmup_restart", above=0, high=1_000_000)
    restart_mult: int = setting(1, "how many times as long each cycle is as the one before", above=0, high=1_000)
    milestones: list[int] = setting([50, 65], "epochs of multistep_warmup, counted from the run's first")
    gamma: float = setting(0.1, "factor at each milestone")
    label_smoothing: float = setting(0.1, "share of the target that goes to all classes alike", low=0, high=1)
    loss: str = setting("cross_entropy", "focal counts clips less that are easy", choices=("cross_entropy", "focal"))
    focal_gamma: float = setting(2.0, "exponent of the focal loss", low=0)
    class_weights: str = setting(
        "none",
        "balanced counts classes with few training clips more, so that all weigh alike; softened by the square root of "
        "that",
        choices=("none", "softened", "balanced"),
    )
    class_weights_from: float = setting(0.0, "share of the run before which all classes count alike", low=0, high=1)
    ib_loss_weight: float = setting(0.01, "of the information-bottleneck term, in models that have one")
    gradient_clip: float = setting(1.0, "largest gradient norm, 0 for no limit", low=0)
    mixup: float = setting(0.0, "parameter of mixup's beta distribution, 0 for none", low=0)
    ema_decay: float = setting(0.0, "exponential average of the weights, 0 for none", low=0, high=1)
    swa_start: float = setting(
        0.0, "share of the run after which each epoch's weights are averaged alike, 0 for none", low=0, high=1
    )
    patience: int = setting(0, "epochs without a better validation score before the run ends early, 0 for never", low=0)
    amp: str = setting(
        "auto",
        "number format: bf16, fp16 (GPU, with a gradient scaler), off, or auto: fp16 on a GPU, off on a CPU",
        choices=("off", "bf16", "fp16", "auto"),
    )
    fused: str = setting(
        "auto",
        "one call moves all weights; auto: on processors and CUDA; changes rounding",
        choices=("on", "off", "auto"),
    )
    compile: bool = setting(
        False,
        "put the model's body through torch.compile: a minute or more in the first step, needs a C++ compiler, on a "
        "GPU triton too; changes rounding",
    )
    augment_on: str = setting(
        "processor",
        "processor augments clip by clip in workers; device keeps all training clips in the device's memory and "
        "augments whole batches there, with other draws: for a GPU, which else waits for its clips",
        choices=("processor", "device"),
    )
    input_clamp: float = setting(30.0, "largest absolute value of a stream, 0 for no limit: against tracking glitches")
    save_interval: int = setting(
        0, "epochs between checkpoints that are kept for good, 0 for only best and last", low=0
    )
    tensorboard: bool = setting(False, "write RUN/tensorboard beside metrics.jsonl")
    workers: int = setting(0, "processes that load clips", low=0, high=1_000)
    init: str = setting("", "a run, checkpoint or bundle whose trunk the model starts from")
    label_share: float = setting(
        1.0, "part of the labelled training clips that is used, drawn by class and seed", above=0, high=1
    )


@dataclass
class AugmentConfig:
    """Random changes to a training clip; one draw serves all streams. Nothing here touches validation or test."""

    rotation_deg: float = setting(15.0, "about the vertical axis, uniform in +-")
    tilt_deg: float = setting(0.0, "about the other two axes")
    scale: float = setting(0.1, "factor in 1 +- scale")
    shear: float = setting(0.1, "off-diagonal entries in +-")
    crop: float = setting(1.0, "shortest share of the clip that is kept", low=0, high=1)
    warp: float = setting(0.0, "strength of time warping")
    noise_joint: float = setting(0.01, "standard deviation added to the joint stream, in the model's units")
    noise_velocity: float = setting(0.002, "the same of the velocity stream")
    noise_bone: float = setting(0.005, "the same of the bone stream")
    mirror: float = setting(0.0, "probability of exchanging left and right, joints and all", low=0, high=1)
    mask: float = setting(
        0.0, "largest share of joints hidden; those that centre and scale the window always stay", low=0, high=1
    )
    bones: float = setting(
        0.0, "each bone's length, all through a clip, by its own factor in 1 +- bones: another person", low=0, high=1
    )


@dataclass
class ValidationConfig:
    """What guides choices: a part of the *training* subjects, never the test split."""

    subjects: list[str] = setting([], "who is held out; empty draws `fraction` of them by seed, at least one")
    fraction: float = setting(
        0.1,
        "share of subjects held out; 0 with no subjects trains on everybody and keeps the last weights",
        low=0,
        high=1,
    )
    select: str = setting("best", "by validation top-1, or the last", choices=("best", "last"))
    every: int = setting(1, "epochs from one validation to the next; the last epoch is always validated", above=0)


@dataclass
class StageLoss:
    """One line of the loss map: a student's stage learns from a teacher's. Stages are counted from 1."""

    student: int = setting(MISSING, "the student's stage", above=0)  # type: ignore[assignment]
    teacher: int = setting(MISSING, "the teacher's stage", above=0)  # type: ignore[assignment]
    loss: str = setting(
        MISSING,  # type: ignore[assignment]
        "feature_mse goes through a 1x1 projection",
        choices=("feature_mse", "attention_transfer", "rkd_distance", "rkd_angle"),
    )
    weight: float = setting(1.0, "of this line", low=0)
    of: int = setting(1, "which teacher, counted from 1 in the order given", above=0)


@dataclass
class DistillConfig:
    """The distillation loss a * CE + b * soft + g * sum over `losses` of weight * stage loss."""

    a: float = setting(0.3, "weight of the labels", low=0)
    b: float = setting(0.7, "weight of the teachers' answers", low=0)
    tau: float = setting(4.0, "temperature", above=0)
    g: float = setting(1.0, "weight of the loss map", low=0)
    soft: str = setting(
        "kl",
        "kl (Hinton et al. 2015), dkd: target and other classes apart (Zhao et al. 2022), dist: relations within a "
        "clip and within a class (Huang et al. 2022)",
        choices=("kl", "dkd", "dist"),
    )
    losses: list[StageLoss] = setting([], "the loss map: which stage learns from which")
    dkd_alpha: float = setting(1.0, "weight of the target in dkd", low=0)
    dkd_beta: float = setting(8.0, "weight of the other classes in dkd", low=0)
    dist_beta: float = setting(1.0, "weight of the relations within a clip in dist", low=0)
    dist_gamma: float = setting(1.0, "weight of the relations within a class in dist", low=0)
    teacher_weights: list[float] = setting(
        [], "of several teachers' probabilities, in the order given; empty counts all alike", above=0
    )
    cache: str = setting("off", "on: compute the teachers' answers once and keep them on disk", choices=("off", "on"))
    cache_views: int = setting(
        0, "augmentations of each clip that the epochs cycle through, 0 for new ones every epoch", low=0, high=10_000
    )
    cache_seed: int = setting(
        0, "draws the views, whatever the run's seed, so that runs can share them", low=0, high=LAST_SEED
    )
    cache_features: bool = setting(False, "keep the feature maps that `losses` ask for, too")


@dataclass
class PretrainConfig:
    """How a trunk learns without labels: hidden points are told from the rest, two views of a clip are told apart."""

    ratio: float = setting(
        0.6, "share of points hidden, whole body regions for whole blocks of frames at a time", above=0, below=1
    )
    blocks: int = setting(8, "frame blocks of a clip", above=0, high=10_000)
    guide: str = setting(
        "random",
        "which regions and blocks are hidden: random, or rather those that the model looks at, by its joint attention, "
        "by the norm of its features or by the gradient of its answer",
        choices=("random", "attention", "norm", "gradient"),
    )
    decoder: str = setting(
        "pose",
        "pose: one pose a clip from the mean feature; points: every hidden point from the feature at its place",
        choices=("pose", "points"),
    )
    contrast: float = setting(0.5, "weight of NT-Xent beside the reconstruction", low=0)
    temperature: float = setting(0.07, "of NT-Xent", above=0)
    width: int = setting(128, "of NT-Xent's projector", above=0, high=100_000)
    rotation_deg: float = setting(15.0, "of each view, about the vertical axis, after normalisation", low=0)
    scale: float = setting(0.1, "of each view, factor in 1 +- scale, after normalisation", low=0, high=1)


@dataclass
class TranslateConfig:
    """What only a translator needs."""

    vocabulary: int = setting(4000, "most sub-words, learnt from the training sentences", above=0, high=1_000_000)
    beam: int = setting(4, "sentences that the search follows", above=0, high=1_000)
    length_penalty: float = setting(1.0, "of the search, see `last_edge.text.SearchOptions`", low=0)
    no_repeat: int = setting(0, "sub-words in a row that no sentence says twice, 0 for any", low=0)
    repetition_penalty: float = setting(1.0, "of sub-words that were said before", low=1)
    validate_bleu: bool = setting(
        False, "translate the validation sentences after every epoch and choose by BLEU-4, else by the faster loss"
    )
    speed: float = setting(0.0, "a training clip is played 1 +- speed times as fast", low=0, high=1)
    jitter: float = setting(0.0, "frames that a frame may come early or late", low=0)
    subset: int = setting(0, "train on so many sentences alone, 0 for all", low=0)
    freeze_encoder: bool = setting(
        False, "what comes from training.init stays: of a translator all but the decoder, of a recogniser its trunk"
    )


@dataclass
class StreamConfig:
    """What only a model for streams needs: how recordings are cut, mixed and weighed. A crop has `input.frames`."""

    splice: float = setting(
        0.5, "share of crops that put gestures of some recordings between background of others", low=0, high=1
    )
    speed: float = setting(0.4, "a crop is played up to 1 + speed times as fast, or as slowly", low=0, high=10)
    reach: float = setting(
        0.35, "the way of the body's centre up to 1 + reach times as far, or as near", low=0, high=10
    )
    offset: float = setting(0.03, "each joint's own error all through a crop, in limb lengths", low=0)
    lost: float = setting(0.1, "share of crops in which the body is lost for a moment", low=0, high=1)
    webcam: float = setting(
        0.0, "share of crops as a picture shows them: depth from the body's centre alone, less of it, and noisy",
        low=0, high=1,
    )  # fmt: skip
    coarse: float = setting(0.2, "share of crops as from a camera of another frame rate", low=0, high=1)
    slowest: float = setting(15.0, "least frames a second of such a camera", above=0)
    background: float = setting(0.6, "weight of a frame of background", low=0)
    evenness: float = setting(
        0.5, "1 lets all gestures weigh alike however long they last, 0 all frames", low=0, high=1
    )
    early: float = setting(0.5, "share of a gesture over which the weight of its frames rises", low=0, high=1)
    tolerance_s: float = setting(0.08, "seconds before and behind a gesture that weigh nothing", low=0)
    pace: float = setting(0.1, "a spliced part is played up to 1 + pace times as fast as its crop", low=0, high=10)
    smooth: float = setting(0.1, "weight of jumps of the answer from frame to frame (Farha & Gall 2019, eq. 7)", low=0)
    elapsed: float = setting(0.3, "weight of the time since a gesture began", low=0)


@dataclass
class QuantizeConfig:
    """How the INT8 file is made, and what it must hold to be shipped; one clip may always go wrong.

    Of a translator method, percentile, clips, size and speed count, and the sentences' limits instead of the classes'.
    """

    method: str = setting(
        "auto", "how ranges are found, see `QuantizeOptions`; auto: entropy, of a stream percentile",
        choices=("auto", "minmax", "percentile", "entropy"),
    )  # fmt: skip
    percentile: float = setting(99.99, "of the percentile method", above=50, high=100)
    clips: int = setting(1000, "most calibration clips")
    equalise: bool | None = setting(
        None, "equalise neighbouring layers first; none: where a model has such, true: refuse a model without"
    )
    max_drop: float = setting(0.3, "points of top-1 below FP32")
    min_agreement: float = setting(99.0, "percent of clips with FP32's answer")
    max_class_drop: float = setting(3.0, "points in the class that loses most")
    max_bytes_per_param: float = setting(1.5, "size of the file, per parameter")
    max_bytes_fixed: int = setting(25_000, "size of the file, beside the parameters")
    min_speedup: float = setting(0.8, "times as fast as FP32, 0 for any")
    max_bleu_drop: float = setting(0.5, "points of BLEU-4 below FP32")
    min_equal_sentences: float = setting(95.0, "percent of sentences that are FP32's")

    def most_bytes(self, weights: int) -> float:
        """Largest file for a model of so many weights."""
        return self.max_bytes_per_param * weights + self.max_bytes_fixed


@dataclass
class Recipe:
    """Everything that decides a run; written into each checkpoint as resolved."""

    seed: int = setting(42, "of weights, order of clips and augmentation", low=0, high=LAST_SEED)
    model: ModelConfig = field(default_factory=ModelConfig)
    input: InputConfig = field(default_factory=InputConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    translate: TranslateConfig = field(default_factory=TranslateConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)


def settings(group: type = Recipe, prefix: str = "") -> dict[str, Setting]:
    """Every setting of a recipe by its dotted key, `training.lr`; of `distill.losses` the list as one."""
    found: dict[str, Setting] = {}
    for name, kind in get_type_hints(group).items():
        part = next(part for part in dataclasses.fields(group) if part.name == name)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            found |= settings(kind, f"{prefix}{name}.")
        elif "setting" in part.metadata:
            default = part.default if part.default_factory is MISSING else part.default_factory()
            found[prefix + name] = dataclasses.replace(part.metadata["setting"], kind=kind, default=default)
    return found
