"""What a translator learns by: each sub-word from the clip and the sub-words before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.sign2text import Sign2Text
from last_edge.tasks.config import AugmentConfig
from last_edge.text import PAD


class NextSubWord:
    """Label-smoothed cross entropy of every sub-word; padding counts for nothing.

    noise: standard deviations added to each stream where it is not 0. clamp: largest absolute value, 0 for any.
    """

    def __init__(self, *, smoothing: float, noise: AugmentConfig, clamp: float) -> None:
        self.smoothing, self.noise, self.clamp = smoothing, noise, clamp

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """points (N, T, V, C), targets (N, L + 1) sub-words from start to end -> loss and logits (N, L, K)."""
        assert isinstance(model, Sign2Text)
        logits = model.decode(targets[:, :-1], model.encode_features(*self._features(model, points)))
        return sub_word_loss(logits, targets[:, 1:], smoothing=self.smoothing), logits

    def _features(self, model: Sign2Text, points: Tensor) -> tuple[Tensor, Tensor]:
        """`Sign2Text.features` of streams with noise."""
        if model.trunk is not None:
            streams, keep = model.trunk.streams(points)
            noisy = self._noisy(streams, self._sizes(model)[:, None, None])
            return model.trunk.tokens(noisy, clips=len(points)), keep
        frames, shown = model.features(points)
        return self._noisy(frames, self._spread(model, frames)), shown

    def _noisy(self, streams: Tensor, spread: Tensor) -> Tensor:
        """Noise of a spread where there is a value, and the limit."""
        if any((self.noise.noise_joint, self.noise.noise_velocity, self.noise.noise_bone)):
            streams = streams + torch.randn_like(streams) * spread * (streams != 0)
        return streams.clamp(-self.clamp, self.clamp) if self.clamp else streams

    def _sizes(self, model: Sign2Text) -> Tensor:
        """(S*C,) standard deviation of each axis of each stream."""
        sizes = {"joint": self.noise.noise_joint, "velocity": self.noise.noise_velocity, "bone": self.noise.noise_bone}
        rows = [sizes[name] for name in model.spec.streams for _ in range(model.spec.channels)]
        return torch.tensor(rows, device=model.embed.weight.device)

    def _spread(self, model: Sign2Text, frames: Tensor) -> Tensor:
        """(F,) standard deviation of each of a frame's numbers."""
        rows = self._sizes(model).repeat_interleave(model.spec.layout.joints)
        return nn.functional.pad(rows, (0, frames.shape[-1] - len(rows)))


def sub_word_loss(logits: Tensor, wanted: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of logits (N, L, K) for sub-words (N, L), in float32, without padding."""
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )
