"""What users of synthetic signs rely on: seeds, splits, handedness, missing hands, and that they are not trivial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from last_edge.data.synth import SynthOptions, gloss_names, synthesise
from last_edge.data.synth.signer import LEFT_HANDED_AT
from last_edge.errors import UsageError
from last_edge.inputs import fit_window
from last_edge.inputs.spec import InputSpec
from last_edge.skeleton.clip import SkeletonClip
from tests.reference.transforms import normalise

Array = NDArray[np.float64]
FRAMES = 32
SMALL = SynthOptions(glosses=3, signers=5, clips_per_gloss_per_signer=1, test_signers=2)
CLEAN = replace(SMALL, glosses=1, noise=0.0, drop_rate=0.0)
LEFT_WRIST, RIGHT_WRIST = 15, 16


def linear_top1(clips: Sequence[SkeletonClip], *, penalty: float = 1e-3, steps: int = 1500) -> float:
    """Share of `test` clips that logistic regression names rightly after fitting the `train` clips.

    Each clip becomes 32 frames, centred between the shoulders and scaled by their distance, missing points 0.
    The penalty is on the squared weights; accelerated gradient descent (Nesterov 1983) in the span of the clips.
    """
    names = sorted({str(clip.label) for clip in clips})
    labels = np.array([names.index(str(clip.label)) for clip in clips])
    train = np.array([clip.split == "train" for clip in clips])
    features = np.stack([_features(clip) for clip in clips])
    base = np.linalg.qr(features[train].T)[0]
    reduced = np.c_[features @ base, np.ones(len(clips))]
    weights = _fit(reduced[train], np.eye(len(names))[labels[train]], penalty, steps)
    guesses = (reduced[~train] @ weights).argmax(axis=1)
    return float((guesses == labels[~train]).mean())


def _features(clip: SkeletonClip) -> Array:
    spec = InputSpec(clip.layout, frames=FRAMES, centre="frame", scale="limb")
    points = normalise(fit_window(clip.coords, FRAMES), spec)
    return np.nan_to_num(points, nan=0.0).astype(np.float64).ravel()


def _fit(features: Array, targets: Array, penalty: float, steps: int) -> Array:
    curvature = 0.5 * np.linalg.norm(features, 2) ** 2 / len(features) + 2 * penalty
    weights = ahead = np.zeros((features.shape[1], targets.shape[1]))
    for step in range(steps):
        slope = features.T @ (_softmax(features @ ahead) - targets) / len(features) + 2 * penalty * ahead
        moved = ahead - slope / curvature
        ahead = moved + step / (step + 3) * (moved - weights)
        weights = moved
    return weights


def _softmax(logits: Array) -> Array:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def by_id(options: SynthOptions) -> dict[str, SkeletonClip]:
    return {clip.source_id: clip for clip in synthesise(options)}


def travel(clip: SkeletonClip, joint: int) -> float:
    return float(np.ptp(clip.coords[0, :, joint, :2], axis=0).sum())


def test_default_set_has_twenty_glosses_and_1280_clips() -> None:
    assert len(set(gloss_names(SynthOptions()))) == 20
    assert SynthOptions().clips == 1280


def test_every_clip_is_a_labelled_holistic_clip_in_image_units() -> None:
    clips = list(synthesise(SMALL))
    assert len(clips) == SMALL.clips == len({clip.source_id for clip in clips})
    for clip in clips:
        assert clip.coords.shape == (1, clip.frames, 75, 3)
        assert (clip.layout.name, clip.units, clip.fps) == ("mediapipe_holistic75", "image01", 30.0)
        assert 30 <= clip.frames <= 90
        assert clip.label in gloss_names(SMALL)


def test_splits_share_no_subject() -> None:
    clips = list(synthesise(SMALL))
    subjects = {split: {clip.subject for clip in clips if clip.split == split} for split in ("train", "test")}
    assert (len(subjects["train"]), len(subjects["test"])) == (3, 2)
    assert not subjects["train"] & subjects["test"]


def test_a_clip_does_not_depend_on_the_other_clips() -> None:
    few = by_id(SMALL)
    many = by_id(replace(SMALL, glosses=4, signers=6, clips_per_gloss_per_signer=2))
    for name, clip in few.items():
        np.testing.assert_array_equal(clip.coords, many[name].coords)
        np.testing.assert_array_equal(clip.confidence, many[name].confidence)


def test_another_seed_gives_other_clips() -> None:
    one, other = (next(synthesise(replace(CLEAN, seed=seed))) for seed in (0, 1))
    assert one.coords.shape != other.coords.shape or not np.array_equal(one.coords, other.coords, equal_nan=True)


def test_a_left_handed_signer_signs_with_the_left_hand() -> None:
    clips = list(synthesise(CLEAN))
    for number, clip in enumerate(clips):
        left, right = travel(clip, LEFT_WRIST), travel(clip, RIGHT_WRIST)
        assert (left > right) == (number == LEFT_HANDED_AT)


def test_no_one_sees_a_signer_from_behind_or_upside_down() -> None:
    for clip in synthesise(CLEAN):
        mean = np.nanmean(clip.coords[0], axis=0)
        left_shoulder, right_shoulder, nose, left_hip = mean[11], mean[12], mean[0], mean[23]
        assert left_shoulder[0] > right_shoulder[0]
        assert nose[1] < left_shoulder[1] < left_hip[1]
        assert nose[2] < min(left_shoulder[2], right_shoulder[2]) + 0.05


def test_without_drops_only_hands_outside_the_image_are_missing() -> None:
    for clip in synthesise(CLEAN):
        lost = np.isnan(clip.coords[0]).any(-1)
        assert not lost[:, :33].any()
        for hand, wrist in ((slice(33, 54), LEFT_WRIST), (slice(54, 75), RIGHT_WRIST)):
            assert (clip.coords[0, lost[:, hand].all(1), wrist, 1] > 0.85).all()


def test_a_higher_drop_rate_loses_more_frames_of_hands_but_not_the_shoulders() -> None:
    lost = {}
    for rate in (0.02, 0.3):
        clips = list(synthesise(replace(SMALL, drop_rate=rate)))
        lost[rate] = np.mean([np.isnan(clip.coords[0, :, 33:]).mean() for clip in clips])
        assert not any(np.isnan(clip.coords[0, :, 11:13]).any() for clip in clips)
    assert lost[0.3] > lost[0.02] + 0.1


def test_hands_are_lost_whole() -> None:
    for clip in synthesise(replace(SMALL, drop_rate=0.3)):
        for hand in (slice(33, 54), slice(54, 75)):
            seen = (clip.confidence[0, :, hand] > 0).sum(axis=1)
            assert set(seen) <= {0, 21}


def test_hand_depth_counts_from_its_wrist() -> None:
    clip = next(synthesise(CLEAN))
    assert np.nanmax(np.abs(clip.coords[0, :, [33, 54], 2])) == 0


def test_a_linear_model_learns_something_but_stays_under_eighty_per_cent() -> None:
    top1 = linear_top1(list(synthesise(SynthOptions(clips_per_gloss_per_signer=1))))
    assert 0.15 < top1 < 0.8


@pytest.mark.slow
def test_a_linear_model_stays_under_eighty_per_cent_of_the_default_set() -> None:
    assert 0.3 < linear_top1(list(synthesise(SynthOptions()))) < 0.8


def test_wrong_options_are_all_named_at_once() -> None:
    with pytest.raises(UsageError, match="glosses must be at least 1.*test_signers must lie in 0..2, got 3.*drop_rate"):
        SynthOptions(glosses=0, signers=2, test_signers=3, drop_rate=0.9)


def test_too_many_glosses_name_the_limit() -> None:
    with pytest.raises(UsageError, match="at most 12555"):
        next(synthesise(SynthOptions(glosses=20_000)))
