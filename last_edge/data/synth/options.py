"""What a synthetic set is made of: how many glosses, signers and clips, and how bad the tracker is."""

from __future__ import annotations

from dataclasses import dataclass

from last_edge.errors import UsageError


@dataclass(frozen=True)
class SynthOptions:
    """Options of `synthesise`; equal options give equal clips, bit by bit.

    glosses: classes, the first so many of the lexicon. signers: subjects, numbered from 0.
    clips_per_gloss_per_signer: repetitions. test_signers: the last so many signers are the test split.
    seed: of signers and clips; the lexicon itself never changes.
    fps: frames a second. noise: standard deviation of a tracked hand point, in image heights.
    drop_rate: chance that a hand is lost in a frame while it signs; 0 also keeps every other point.
    unknown: take the glosses from the reserved part of the lexicon, which no known set of any size touches.
    """

    glosses: int = 20
    signers: int = 16
    clips_per_gloss_per_signer: int = 4
    test_signers: int = 4
    seed: int = 0
    fps: float = 30.0
    noise: float = 0.004
    drop_rate: float = 0.08
    unknown: bool = False

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise UsageError("synthetic data: " + "; ".join(faults), hint="last-edge data synth --help")

    @property
    def clips(self) -> int:
        """How many clips the set has."""
        return self.glosses * self.signers * self.clips_per_gloss_per_signer


def _faults(options: SynthOptions) -> list[str]:
    counts = {name: getattr(options, name) for name in ("glosses", "signers", "clips_per_gloss_per_signer")}
    faults = [f"{name} must be at least 1, got {count}" for name, count in counts.items() if count < 1]
    if not 0 <= options.test_signers <= options.signers:
        faults.append(f"test_signers must lie in 0..{options.signers}, got {options.test_signers}")
    if options.seed < 0:
        faults.append(f"seed must not be negative, got {options.seed}")
    if not 10 <= options.fps <= 240:
        faults.append(f"fps must lie in 10..240, got {options.fps}")
    if not 0 <= options.noise <= 0.1:
        faults.append(f"noise must lie in 0..0.1 image heights, got {options.noise}")
    if not 0 <= options.drop_rate <= 0.5:
        faults.append(f"drop_rate must lie in 0..0.5, got {options.drop_rate}")
    return faults
