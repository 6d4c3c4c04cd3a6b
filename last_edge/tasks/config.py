"""The schema of a recipe: dataclasses are the truth, YAML gives values, `--set` wins over both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ModelConfig:
    """Which model. name: registered name. options: changes to the variant, such as `dropout` or `use_st_att`."""

    name: str = "last_e_nano"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class InputConfig:
    """How clips become input; see `InputSpec` for each field. The layout and axes come from the store."""

    frames: int = 64
    centre: str = "first"
    scale: str = "none"
    streams: list[str] = field(default_factory=lambda: ["joint", "velocity", "bone"])
    bodies: int = 1


@dataclass
class TrainingConfig:
    """How the weights are found.

    optimizer: `sgd` (momentum, nesterov) or `adamw` (betas .9, .999). scheduler: all but `constant` rise linearly from
    `warmup_start_lr` to `lr` over `warmup_epochs`; then `cosine_warmup` falls as one cosine to `min_lr`,
    `cosine_warmup_restart` falls so in cycles of `restart_period` epochs, each `restart_mult` times as long as the one
    before, and `multistep_warmup` multiplies by `gamma` at each of `milestones`, counted from the run's first epoch.
    `cosine_warmup_epochs` is `cosine_warmup` whose cosine moves once an epoch. warmup_epochs: -1 for a tenth of the
    run, at least ten. warmup_start_share: begin the warm-up at this share of `lr` instead, 0 for `warmup_start_lr`.
    loss: `cross_entropy`, or `focal` with `focal_gamma`. class_weights: `balanced` counts classes with few training
    clips more, `none` all alike; before `class_weights_from`, a share of the run, all count alike.
    gradient_accumulation_steps: batches that share one optimiser step. gradient_clip: largest gradient norm, 0 for no
    limit. ib_loss_weight: of the information-bottleneck term, in models that have one.
    init: a run or checkpoint whose trunk the model starts from, nothing for a start from scratch. label_share: part of
    the labelled training clips that is used, drawn by class and `seed`.
    ema_decay: exponential average of the weights, 0 for none. swa_start: share of the run after which the weights at
    the end of each epoch are averaged alike, 0 for none. patience: epochs without a better validation score before the
    run ends early, 0 for never.
    amp: `off`, `bf16`, `fp16` (GPU, with a gradient scaler), or `auto`: fp16 on a GPU, off on a CPU.
    fused: one call moves all weights: `on`, `off`, or `auto`, which is on for processors and CUDA. compile: translate
    the model's body by torch.compile, which takes a minute or more in the first step and needs a C++ compiler, on a GPU
    triton too; validation goes without. Both change rounding.
    augment_on: `processor` augments clip by clip in `workers` processes; `device` keeps all training clips in the
    device's memory and augments whole batches there, with other draws: for a GPU, which else waits for its clips.
    input_clamp: largest absolute value of a stream, 0 for no limit; guards against tracking glitches. save_interval:
    epochs between checkpoints that are kept for good, 0 for only best and last. tensorboard: write RUN/tensorboard
    beside metrics.jsonl.
    """

    epochs: int = 90
    batch_size: int = 32
    gradient_accumulation_steps: int = 1
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0004
    scheduler: str = "cosine_warmup"
    warmup_epochs: int = 5
    warmup_start_lr: float = 0.01
    warmup_start_share: float = 0.0
    min_lr: float = 0.0001
    restart_period: int = 30
    restart_mult: int = 1
    milestones: list[int] = field(default_factory=lambda: [50, 65])
    gamma: float = 0.1
    label_smoothing: float = 0.1
    loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    class_weights: str = "none"
    class_weights_from: float = 0.0
    ib_loss_weight: float = 0.01
    gradient_clip: float = 1.0
    mixup: float = 0.0
    ema_decay: float = 0.0
    swa_start: float = 0.0
    patience: int = 0
    amp: str = "auto"
    fused: str = "auto"
    compile: bool = False
    augment_on: str = "processor"
    input_clamp: float = 30.0
    save_interval: int = 0
    tensorboard: bool = False
    workers: int = 0
    init: str = ""
    label_share: float = 1.0


@dataclass
class AugmentConfig:
    """Random changes to a training clip; one draw serves all streams. Nothing here touches validation or test.

    rotation_deg: about the vertical axis, uniform in +-; tilt_deg: about the other two. scale: factor in 1 +- scale.
    shear: off-diagonal entries in +-. crop: shortest share of the clip that is kept. warp: strength of time warping.
    noise_joint / _velocity / _bone: standard deviation added to each stream, in the model's units.
    mirror: probability of exchanging left and right, joints and all. mask: share of joints hidden, up to; those that
    centre and scale the window always stay. bones: each bone's length, all through a clip, by its own factor in
    1 +- bones: another person's hand.
    """

    rotation_deg: float = 15.0
    tilt_deg: float = 0.0
    scale: float = 0.1
    shear: float = 0.1
    crop: float = 1.0
    warp: float = 0.0
    noise_joint: float = 0.01
    noise_velocity: float = 0.002
    noise_bone: float = 0.005
    mirror: float = 0.0
    mask: float = 0.0
    bones: float = 0.0


@dataclass
class ValidationConfig:
    """What guides choices: a part of the *training* subjects, never the test split.

    subjects: who is held out; empty draws `fraction` of them by seed (at least one). fraction 0 with no subjects
    trains on everybody and keeps the last weights. select: `best` by validation top-1, or `last`.
    """

    subjects: list[str] = field(default_factory=list)
    fraction: float = 0.1
    select: str = "best"


LOSSES = ("cross_entropy", "focal")
AUGMENT_ON = ("processor", "device")
CLASS_WEIGHTS = ("none", "balanced")
SOFT_LOSSES = ("kl", "dkd", "dist")
STAGE_LOSSES = ("feature_mse", "attention_transfer", "rkd_distance", "rkd_angle")


@dataclass
class StageLoss:
    """One line of the loss map: a student's stage learns from a teacher's. Stages are counted from 1.

    loss: `feature_mse` through a 1x1 projection, `attention_transfer`, `rkd_distance` or `rkd_angle`.
    of: which teacher, counted from 1 in the order given.
    """

    student: int
    teacher: int
    loss: str
    weight: float = 1.0
    of: int = 1


@dataclass
class DistillConfig:
    """The distillation loss a * CE + b * soft + g * sum over `losses` of weight * stage loss.

    soft: what the student's logits owe to the teacher's: `kl` (Hinton et al. 2015), `dkd` with `dkd_alpha` for the
    target and `dkd_beta` for the other classes (Zhao et al. 2022), `dist` with `dist_beta` for the relations within a
    clip and `dist_gamma` for those within a class (Huang et al. 2022). tau: temperature.
    teacher_weights: of several teachers' probabilities, in the order given; empty counts all alike.
    cache: `on` computes the teachers' answers once and keeps them on disk. That takes `cache_views`, how many
    augmentations of each clip the epochs cycle through; 0 draws new ones every epoch. cache_seed draws them, whatever
    the run's `seed`, so that runs can share them. cache_features: keep the feature maps that `losses` ask for, too.
    """

    a: float = 0.3
    b: float = 0.7
    tau: float = 4.0
    g: float = 1.0
    soft: str = "kl"
    losses: list[StageLoss] = field(default_factory=list)
    dkd_alpha: float = 1.0
    dkd_beta: float = 8.0
    dist_beta: float = 1.0
    dist_gamma: float = 1.0
    teacher_weights: list[float] = field(default_factory=list)
    cache: str = "off"
    cache_views: int = 0
    cache_seed: int = 0
    cache_features: bool = False


@dataclass
class PretrainConfig:
    """How a trunk learns without labels: hidden points are told from the rest, two views of a clip are told apart.

    ratio: share of a clip's points that is hidden, whole body regions for whole blocks of frames at a time. blocks:
    frame blocks a clip. guide: which regions and blocks are hidden: `random`, or rather those that the model looks at,
    by its joint `attention`, by the `norm` of its features or by the `gradient` of its answer.
    decoder: `pose`, one pose a clip from the mean feature, or `points`, every hidden point from the feature at its
    place. contrast: weight of NT-Xent beside the reconstruction; temperature, width: its own, and its projector's.
    rotation_deg, scale: of each view, about the vertical axis and in 1 +- scale, after the input's normalisation.
    """

    ratio: float = 0.6
    blocks: int = 8
    guide: str = "random"
    decoder: str = "pose"
    contrast: float = 0.5
    temperature: float = 0.07
    width: int = 128
    rotation_deg: float = 15.0
    scale: float = 0.1


@dataclass
class TranslateConfig:
    """What only a translator needs.

    vocabulary: most sub-words, learnt from the training sentences. beam, length_penalty, no_repeat,
    repetition_penalty: of the search, see `last_edge.text.SearchOptions`. validate_bleu: translate the validation
    sentences after every epoch and choose by BLEU-4; else by the validation loss, which takes less time.
    speed: a training clip is played 1 +- speed times as fast. jitter: frames that a frame may come early or late.
    subset: train on so many sentences alone, 0 for all. freeze_encoder: what comes from the run that `training.init`
    names stays as it is: of a translator all but the decoder, of a recogniser (`last_e_*`, `last_lite_*`) its trunk.
    """

    vocabulary: int = 4000
    beam: int = 4
    length_penalty: float = 1.0
    no_repeat: int = 0
    repetition_penalty: float = 1.0
    validate_bleu: bool = False
    speed: float = 0.0
    jitter: float = 0.0
    subset: int = 0
    freeze_encoder: bool = False


@dataclass
class QuantizeConfig:
    """How the INT8 file is made, and what it must hold to be shipped; one clip may always go wrong.

    method, percentile: how ranges are found, see `QuantizeOptions`. clips: most calibration clips. equalise,
    correct_biases, adaround: what is done to the weights before they are rounded.
    max_drop: points of top-1 below FP32. min_agreement: percent of clips with FP32's answer. max_class_drop: points in
    the class that loses most. max_bytes_per_param, max_bytes_fixed: size of the file. min_speedup: times as fast as
    FP32, 0 for any.
    Of a translator method, percentile, clips, size and speed count, and instead of the classes' limits max_bleu_drop:
    points of BLEU-4 below FP32, and min_equal_sentences: percent of sentences that are FP32's.
    """

    method: str = "entropy"
    percentile: float = 99.99
    clips: int = 1000
    equalise: bool = True
    correct_biases: bool = False
    adaround: bool = False
    max_drop: float = 0.3
    min_agreement: float = 99.0
    max_class_drop: float = 3.0
    max_bytes_per_param: float = 1.5
    max_bytes_fixed: int = 25_000
    min_speedup: float = 0.8
    max_bleu_drop: float = 0.5
    min_equal_sentences: float = 95.0


@dataclass
class Recipe:
    """Everything that decides a run, with `seed`; written into each checkpoint as resolved."""

    seed: int = 42
    model: ModelConfig = field(default_factory=ModelConfig)
    input: InputConfig = field(default_factory=InputConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    translate: TranslateConfig = field(default_factory=TranslateConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
