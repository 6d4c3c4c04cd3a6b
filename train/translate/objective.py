"""What a translator learns by: each sub-word from the clip and the sub-words before it."""

from __future__ import annotations

import torch
from torch import Tensor

from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.sign2text import Sign2Text
from last_edge.text import PAD
from last_edge.train.config import AugmentConfig
from last_edge.train.trainer import Trainer


class NextSubWord:
    """Label-smoothed cross entropy of every sub-word; padding counts for nothing.

    noise: standard deviations added to each stream where it is not 0. clamp: largest absolute value, 0 for any.
    """

    def __init__(self, *, smoothing: float, noise: AugmentConfig, clamp: float) -> None:
        self.smoothing, self.noise, self.clamp = smoothing, noise, clamp

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """points (N, T, V, C), targets (N, L + 1) sub-words from start to end -> loss and logits (N, L, K)."""
        assert isinstance(model, Sign2Text)
        frames, shown = model.features(points)
        if any((self.noise.noise_joint, self.noise.noise_velocity, self.noise.noise_bone)):
            frames = frames + torch.randn_like(frames) * self._spread(model, frames) * (frames != 0)
        frames = frames.clamp(-self.clamp, self.clamp) if self.clamp else frames
        logits = model.decode(targets[:, :-1], model.encode_features(frames, shown))
        return sub_word_loss(logits, targets[:, 1:], smoothing=self.smoothing), logits

    def _spread(self, model: Sign2Text, frames: Tensor) -> Tensor:
        """(F,) standard deviation of each of a frame's numbers."""
        sizes = {"joint": self.noise.noise_joint, "velocity": self.noise.noise_velocity, "bone": self.noise.noise_bone}
        spec, joints = model.spec, model.spec.layout.joints
        rows = [sizes[name] for name in spec.streams for _ in range(spec.channels * joints)]
        return torch.tensor(rows + [0.0] * (frames.shape[-1] - len(rows)), device=frames.device)


def sub_word_loss(logits: Tensor, wanted: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of logits (N, L, K) for sub-words (N, L), in float32, without padding."""
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


class TranslationTrainer(Trainer):
    """The trainer on sub-words: targets stay numbers, and a hit is a sub-word that is right."""

    def _mix(self, points: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return points, labels

    def _note(self, points: Tensor, labels: Tensor, loss: Tensor, logits: Tensor) -> None:
        self._bad |= torch.isinf(points).any() | ~torch.isfinite(loss)
        wanted = labels[:, 1:]
        right = ((logits.argmax(-1) == wanted) & (wanted != PAD)).sum() / (wanted != PAD).sum()
        self._window_sums.add(loss=loss.double() * len(labels), hits=right * len(labels), seen=len(labels))
