"""The distillation objective: labels, the teachers' answers and their stages, weighed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from last_edge.distill.cache import Source, StageOf
from last_edge.errors import UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.attention import full_precision
from last_edge.tasks.config import DistillConfig, StageLoss
from last_edge.tasks.objective import CrossEntropy

SMALLEST_NORM = 1e-8


def soft_target_loss(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """tau^2 * KL(softmax(teacher / tau) || softmax(student / tau)) (Hinton et al. 2015, eq. 4).

    The factor keeps the gradient's size independent of tau.
    """
    return tau * tau * _divergence(teacher.float() / tau, student.float() / tau)


def decoupled_loss(
    student: Tensor, teacher: Tensor, target: Tensor, tau: float, *, alpha: float, beta: float
) -> Tensor:
    """tau^2 * (alpha * TCKD + beta * NCKD), decoupled distillation (Zhao et al. 2022, eq. 7).

    TCKD is the divergence of (target, all others) as two classes, NCKD that of the others among themselves; the plain
    loss weighs the latter by how unsure the teacher is. target: (N,) class numbers.
    """
    target, (taught, got) = target[:, None], (teacher.float() / tau, student.float() / tau)
    after = torch.arange(1, got.shape[1], device=got.device)
    others = (target + after) % got.shape[1]
    binary = [
        torch.cat([x.gather(1, target), x.gather(1, others).logsumexp(1, keepdim=True)], 1) for x in (taught, got)
    ]
    two_way, among_others = _divergence(*binary), _divergence(taught.gather(1, others), got.gather(1, others))
    return tau * tau * (alpha * two_way + beta * among_others)


def correlation_loss(student: Tensor, teacher: Tensor, tau: float, *, beta: float, gamma: float) -> Tensor:
    """beta * inter + gamma * intra, distances of DIST (Huang et al. 2022, eqs. 7 to 9).

    A distance is 1 - Pearson's correlation of probabilities at tau: over the classes of each clip (inter), over the
    clips of each class (intra). There is no tau^2: a correlation does not shrink as the temperature rises.
    """
    got, taught = (torch.softmax(logits.float() / tau, dim=1) for logits in (student, teacher))
    return beta * _uncorrelated(got, taught) + gamma * _uncorrelated(got.T, taught.T)


def ensemble_logits(logits: Tensor, weights: Tensor, tau: float) -> Tensor:
    """tau * log(sum over e of w_e * softmax(logits_e / tau)): the logits whose softmax at tau is the teachers' mean.

    logits: (N, E, K) of E teachers. weights: (E,), made to sum to 1. One teacher's logits stay what they are.
    """
    if logits.shape[1] == 1:
        return logits[:, 0].float()
    share = torch.log(weights.float() / weights.sum())[:, None]
    return tau * torch.logsumexp(torch.log_softmax(logits.float() / tau, dim=2) + share, dim=1)


def _divergence(taught: Tensor, got: Tensor) -> Tensor:
    """KL(softmax(taught) || softmax(got)), mean over the rows."""
    expected, answered = torch.log_softmax(taught, dim=1), torch.log_softmax(got, dim=1)
    return nn.functional.kl_div(answered, expected, reduction="batchmean", log_target=True)


def _uncorrelated(got: Tensor, taught: Tensor) -> Tensor:
    """1 - Pearson's correlation of each row, mean over the rows."""
    got, taught = (x - x.mean(1, keepdim=True) for x in (got, taught))
    return 1 - nn.functional.cosine_similarity(got, taught, dim=1, eps=SMALLEST_NORM).mean()


SMALLEST_LENGTH = 1e-6


def aligned(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps in float32 on one grid: frames averaged down to the smaller number, joints to one where they differ.

    A window that is no multiple of the other is averaged over bins that overlap by a frame.
    """
    frames = min(student.shape[2], teacher.shape[2])
    joints = student.shape[3] if student.shape[3] == teacher.shape[3] else 1
    return _pooled(student.float(), frames, joints), _pooled(teacher.float(), frames, joints)


def _pooled(x: Tensor, frames: int, joints: int) -> Tensor:
    return x if x.shape[2:] == (frames, joints) else nn.functional.adaptive_avg_pool2d(x, (frames, joints))


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of maps of equal width (Romero et al. 2015, eq. 3, as a mean over all values)."""
    return nn.functional.mse_loss(*aligned(student, teacher))


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of attention maps, sums of squares over the channels brought to length 1.

    Zagoruyko & Komodakis 2017, eq. 2 with p = 2; the distance is squared, so that it has a gradient where both agree.
    Widths may differ.
    """
    got, taught = (nn.functional.normalize(x.square().mean(1).flatten(1)) for x in aligned(student, teacher))
    return (got - taught).square().sum(1).mean()


def relational_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the distances between clips, each in units of its batch's mean distance (Park et al. 2019, eq. 6).

    A clip is its map's mean over time and joints; mean over all pairs of two clips. Widths may differ.
    """
    got, taught = (_relative_distances(_clips(x)) for x in (student, teacher))
    return nn.functional.smooth_l1_loss(got, taught)


def relational_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the cosines of the angles that three clips make (Park et al. 2019, eq. 8).

    A clip is its map's mean over time and joints; mean over all triplets of three clips. Widths may differ.
    """
    with full_precision(student):
        got, taught = (_cosines(_clips(x)) for x in (student, teacher))
    count = len(got)
    apart = ~torch.eye(count, dtype=torch.bool, device=got.device)
    distinct = apart[:, :, None] & apart[:, None, :] & apart[None]
    each = nn.functional.smooth_l1_loss(got, taught, reduction="none")
    return (each * distinct).sum() / max(count * (count - 1) * (count - 2), 1)


def _clips(x: Tensor) -> Tensor:
    """(N, C, T, V) -> (N, C)."""
    return x.float().mean(dim=(2, 3))


def _relative_distances(clips: Tensor) -> Tensor:
    """Clips (N, C) -> distances of all pairs of two, divided by their mean."""
    one, other = torch.triu_indices(len(clips), len(clips), offset=1, device=clips.device)
    lengths = (clips[one] - clips[other]).square().sum(1).clamp(min=SMALLEST_LENGTH**2).sqrt()
    return lengths / lengths.mean()


def _cosines(clips: Tensor) -> Tensor:
    """Clips (N, C) -> (N, N, N): at [j, i, k] the cosine of the angle at clip j between clips i and k."""
    directions = nn.functional.normalize(clips[None] - clips[:, None], dim=2, eps=SMALLEST_LENGTH)
    return directions @ directions.mT


STAGE_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "feature_mse": feature_mse,
    "attention_transfer": attention_transfer,
    "rkd_distance": relational_distance,
    "rkd_angle": relational_angle,
}
PROJECTED = ("feature_mse",)


def entries_in_use(config: DistillConfig) -> tuple[StageLoss, ...]:
    """The entries that add to the loss."""
    return tuple(entry for entry in config.losses if config.g and entry.weight)


def stages_wanted(config: DistillConfig) -> tuple[StageOf, ...]:
    """The teachers' stages that the map reads, in order."""
    return tuple(sorted({source_of(entry) for entry in entries_in_use(config)}))


def source_of(entry: StageLoss) -> StageOf:
    """Where an entry's target comes from."""
    return StageOf(entry.of - 1, entry.teacher - 1)


class LossMap(nn.Module):
    """Sum of weight * loss over the entries. A student's map passes a 1x1 projection to the teacher's width first,
    where the loss compares channel by channel; the projections are trained and in the end thrown away.

    student: channels by stage. teachers: the same of every teacher. seed: of the projections' first weights.
    """

    def __init__(
        self, entries: Sequence[StageLoss], *, student: Sequence[int], teachers: Sequence[Sequence[int]], seed: int
    ) -> None:
        super().__init__()
        check_entries(entries, student=student, teachers=teachers)
        self.entries = tuple(entries)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projections = nn.ModuleDict(
                {
                    str(number): nn.Conv2d(student[e.student - 1], teachers[e.of - 1][e.teacher - 1], 1, bias=False)
                    for number, e in enumerate(self.entries)
                    if e.loss in PROJECTED
                }
            )

    def forward(self, student: Sequence[Tensor], teacher: Mapping[StageOf, Tensor]) -> Tensor:
        """Maps (N, C, T, V) of the student's stages and of those of the teachers that are wanted -> a scalar."""
        with full_precision(student[0]):
            return torch.stack([self._term(number, student, teacher) for number in range(len(self.entries))]).sum()

    def _term(self, number: int, student: Sequence[Tensor], teacher: Mapping[StageOf, Tensor]) -> Tensor:
        entry = self.entries[number]
        got = student[entry.student - 1].float()
        if str(number) in self.projections:
            got = self.projections[str(number)](got)
        return entry.weight * STAGE_LOSSES[entry.loss](got, teacher[source_of(entry)])


def check_entries(entries: Sequence[StageLoss], *, student: Sequence[int], teachers: Sequence[Sequence[int]]) -> None:
    """`UsageError` where an entry names a stage or a teacher that is not there."""
    for entry in entries:
        if entry.of > len(teachers):
            raise UsageError("the loss map names a teacher that is not given", expected=len(teachers), got=entry.of)
        for who, stage, widths in (
            ("student", entry.student, student),
            ("teacher", entry.teacher, teachers[entry.of - 1]),
        ):
            if stage > len(widths):
                expected = f"1 to {len(widths)}" if widths else "a model with stages"
                raise UsageError(f"the {who} has no such stage", where="distill.losses", expected=expected, got=stage)


class Distillation:
    """a * CE(student, targets) + b * soft(student, teachers) + g * the loss map, on the same augmented points.

    The student's forward pass is one, whether its stages are wanted or not. `parts` holds the three terms of the last
    loss before their weights. See `last_edge.tasks.objective.HelpedObjective` for the rest.
    """

    def __init__(
        self, source: Source, plain: CrossEntropy, config: DistillConfig, *, loss_map: LossMap | None = None
    ) -> None:
        self.source, self.plain, self.config = source, plain, config
        self.loss_map = loss_map
        self.helpers: nn.Module = nn.Module() if loss_map is None else loss_map
        self.parts: dict[str, Tensor] = {}
        self._clips, self._view = torch.zeros(0, dtype=torch.int64), 0
        self._weights = torch.zeros(0)

    def begin_batch(self, clips: Tensor, view: int) -> None:
        """Remember which clips and which of their augmentations come next."""
        self._clips, self._view = clips, view

    def at(self, share: float) -> None:
        self.plain.at(share)

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        answers = self.source(points, self._clips, self._view)
        streams = self.plain.streams(model, points)
        maps, logits = (
            model.features_and_logits(streams) if self.loss_map is not None else ([], model.from_streams(streams))
        )
        hard = self.plain.loss(model, logits, targets)
        soft = self.soft(logits, answers.logits, targets)
        loss = self.config.a * hard + self.config.b * soft
        self.parts = {"hard": hard.detach(), "soft": soft.detach()}
        if self.loss_map is not None:
            stages = self.loss_map(maps, answers.maps)
            loss, self.parts["stages"] = loss + self.config.g * stages, stages.detach()
        return loss, logits

    def soft(self, logits: Tensor, teachers: Tensor, targets: Tensor) -> Tensor:
        """What the student's logits (N, K) owe to the teachers' (N, E, K), by the recipe's `distill.soft`."""
        c, count = self.config, teachers.shape[1]
        if len(self._weights) != count or self._weights.device != teachers.device:
            self._weights = torch.tensor(c.teacher_weights or [1.0] * count, device=teachers.device)
        taught = ensemble_logits(teachers, self._weights, c.tau)
        if c.soft == "dkd":
            return decoupled_loss(logits, taught, targets.argmax(1), c.tau, alpha=c.dkd_alpha, beta=c.dkd_beta)
        if c.soft == "dist":
            return correlation_loss(logits, taught, c.tau, beta=c.dist_beta, gamma=c.dist_gamma)
        return soft_target_loss(logits, taught, c.tau)
