"""The pool of variants: families never cross splits, every kind does what it says, the command and its faults."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.data.pool import (
    KINDS,
    PoolOptions,
    augment_pool,
    family_of,
    kinds_for,
    make_variant,
    unit_of,
    variants_of,
)
from last_edge.errors import InputError, UsageError
from last_edge.inputs.spec import Points
from last_edge.skeleton import Layout, SkeletonClip, get_layout
from last_edge.tasks.plan import make_plan
from last_edge.tools.cli import main
from last_edge.train.recipe import load_recipe

HOLISTIC = get_layout("mediapipe_holistic75")


def packed_clip(axes: int = 3, frames: int = 20) -> Points:
    """One body of 75 points that moves smoothly, its left hand and one joint missing in places, and its confidence."""
    random = np.random.default_rng(4)
    points = random.normal(0.5, 0.3, (1, 1, 75, axes)) + np.linspace(0, 0.2, frames)[None, :, None, None]
    points[0, 3:6, 33:54] = np.nan
    points[0, 9, 20] = np.nan
    sure = np.where(np.isnan(points[..., :1]), 0.0, random.uniform(0.2, 1.0, (1, frames, 75, 1)))
    return np.concatenate([points, sure], axis=-1).astype(np.float32)


def pool_of(path: Path, out: Path, **options: Any) -> ClipStore:
    augment_pool(path, out=out, options=PoolOptions(**options))
    return ClipStore.open(out)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_a_clip_and_keeps_it_a_clip(kind: str, axes: int) -> None:
    packed = packed_clip(axes)
    if kind not in kinds_for(HOLISTIC, axes):
        assert kind == "view" and axes == 2
        return
    before = packed.copy()
    made = make_variant(packed, HOLISTIC, 0, (kind,), np.random.default_rng(1))
    np.testing.assert_array_equal(packed, before)
    same = made.shape == packed.shape and np.array_equal(made[..., :-1], packed[..., :-1], equal_nan=True)
    assert not same and np.isfinite(made[..., :-1]).any() and made.shape[2:] == packed.shape[2:]
    clip = SkeletonClip.from_points(
        made[..., :-1], layout=HOLISTIC, fps=30, units="image01", confidence=np.nan_to_num(made[..., -1])
    )
    assert (clip.confidence <= 1).all()


def test_a_mirrored_signer_signs_with_the_other_hand() -> None:
    packed = packed_clip()
    made = make_variant(packed, HOLISTIC, 0, ("mirror",), np.random.default_rng(1))
    assert np.isnan(made[0, 3:6, 54:75, 0]).all() and np.isfinite(made[0, 3:6, 33:54]).all()
    np.testing.assert_allclose(made[0, 0, 33:54, 0], -packed[0, 0, 54:75, 0])
    np.testing.assert_allclose(made[0, 0, 33:54, 3], packed[0, 0, 54:75, 3])


def test_a_dropped_hand_is_gone_in_every_frame() -> None:
    made = make_variant(packed_clip(), HOLISTIC, 0, ("drop_hand",), np.random.default_rng(1))
    gone = [np.isnan(made[0, :, list(HOLISTIC.parts[hand]), 0]).all() for hand in ("left_hand", "right_hand")]
    assert sum(gone) == 1


def test_other_proportions_keep_bones_straight_and_sides_alike() -> None:
    packed = packed_clip()
    made = make_variant(packed, HOLISTIC, 0, ("proportions",), np.random.default_rng(1))
    parents = list(HOLISTIC.parents)

    def bones(points: Points) -> Any:
        return (points[0, 0, :, :3] - points[0, 0, parents, :3])[1:]

    ratio = np.linalg.norm(bones(made), axis=1) / np.linalg.norm(bones(packed), axis=1)
    np.testing.assert_allclose(bones(made), bones(packed) * ratio[:, None], atol=1e-5)
    assert 0.84 < ratio.min() < ratio.max() < 1.16
    for left, right in HOLISTIC.pairs:
        assert ratio[left - 1] == pytest.approx(ratio[right - 1], rel=1e-4)


def test_speed_changes_the_number_of_frames_and_a_view_the_depth_only_a_little() -> None:
    packed = packed_clip()
    lengths = {make_variant(packed, HOLISTIC, 0, ("speed",), np.random.default_rng(n)).shape[1] for n in range(9)}
    assert len(lengths) > 4 and min(lengths) >= 11 and max(lengths) <= 40
    seen = make_variant(packed, HOLISTIC, 0, ("view",), np.random.default_rng(1))
    assert unit_of(seen, HOLISTIC) == pytest.approx(unit_of(packed, HOLISTIC), rel=1e-4)


def test_the_second_round_adds_a_second_kind() -> None:
    kinds = ("speed", "mirror")
    alone, both = (make_variant(packed_clip(), HOLISTIC, n, kinds, np.random.default_rng(2)) for n in (1, 3))
    assert alone.shape[1] == 20 != both.shape[1]


@pytest.mark.parametrize("split_by", ["keep", "source", "subject"])
def test_a_clip_and_its_variants_never_cross_a_split(toy_store: Path, tmp_path: Path, split_by: str) -> None:
    store = pool_of(toy_store, tmp_path / "pool", variants=3, per_class=60, split_by=split_by)
    splits: dict[str, set[str]] = {}
    for source, split in zip(store.index.source_id, store.index.split, strict=True):
        splits.setdefault(family_of(source), set()).add(split)
    assert len(splits) == 72 and all(len(found) == 1 for found in splits.values())
    varied = [split for source, split in zip(store.index.source_id, store.index.split, strict=True) if "#v" in source]
    assert varied and set(varied) == {"train"}
    if split_by == "subject":
        people = [set(store.index.subject[store.select(split=split)]) for split in ("train", "val", "test")]
        assert sum(map(len, people)) == len(set.union(*people)) == 6 and all(people)


def test_validation_people_keep_their_variants_to_themselves(toy_store: Path, tmp_path: Path) -> None:
    store = pool_of(toy_store, tmp_path / "pool", variants=2, per_class=90)
    plan = make_plan(store, load_recipe(None))
    parts = [{family_of(store.index.source_id[clip]) for clip in clips} for clips in (plan.train, plan.val, plan.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) and all(parts)


def test_shares_hold_in_every_class(toy_store: Path, tmp_path: Path) -> None:
    store = pool_of(toy_store, tmp_path / "pool", variants=0, split_by="source", shares=(0.5, 0.25, 0.25))
    for label in range(3):
        counts = Counter(store.index.split[store.index.label == label].tolist())
        assert counts == {"train": 12, "val": 6, "test": 6}


@pytest.mark.parametrize(("count", "expected"), [(200, 0), (250, 0), (150, 1), (10, 19), (1, 60)])
def test_classes_are_filled_up(count: int, expected: int) -> None:
    assert variants_of(count, PoolOptions()) == expected


def test_the_same_seed_gives_the_same_pool_and_another_another(toy_store: Path, tmp_path: Path) -> None:
    shas = [
        pool_of(toy_store, tmp_path / str(place), variants=1, per_class=100, seed=seed).sha256
        for place, seed in enumerate((0, 0, 1))
    ]
    assert shas[0] == shas[1] != shas[2]


def test_classes_and_axes(tmp_path: Path, toy_layout: Layout) -> None:
    path, labels = tmp_path / "store", ("few", "most", "many")
    random = np.random.default_rng(0)
    with writing_store(path, layout=toy_layout, units="metres", labels=labels, about={}, force=False) as writer:
        for label, count in zip(labels, (1, 5, 4), strict=True):
            for number in range(count):
                points = random.normal(size=(1, 6, 5, 3))
                about = {"label": label, "source_id": f"{label}{number}", "split": "train"}
                writer.add(SkeletonClip.from_points(points, layout=toy_layout, fps=30, units="metres", **about))
    store = pool_of(path, tmp_path / "pool", classes=2, axes=2, variants=0)
    assert (store.labels, len(store), store.frames.shape[-1]) == (("most", "many"), 9, 2)
    assert store.about["pool"]["store_sha256"] == ClipStore.open(path).sha256


def test_faults_are_named(toy_store: Path, tmp_path: Path) -> None:
    for changes, named in (
        ({"split_by": "clip"}, "source"),
        ({"shares": (0.5, 0.2, 0.2)}, "add up"),
        ({"without": ("mirrow",)}, "mirror"),
    ):
        with pytest.raises(UsageError, match=named):
            PoolOptions(**changes)  # type: ignore[arg-type]
    for changes, named in (({"classes": 4}, "too few classes"), ({"axes": 4}, "fewer axes")):
        with pytest.raises(UsageError, match=named):
            augment_pool(toy_store, out=tmp_path / "p", options=PoolOptions(**changes))  # type: ignore[arg-type]


def test_a_store_without_splits_is_answered_with_the_option(toy_store: Path, tmp_path: Path) -> None:
    tests_only, path = ClipStore.open(toy_store), tmp_path / "unsplit"
    with writing_store(
        path, layout=tests_only.layout, units="metres", labels=tests_only.labels, about={}, force=False
    ) as writer:
        for clip in range(3):
            writer.add(dataclasses.replace(tests_only.clip(clip), split=""))
    with pytest.raises(InputError, match="--split-by source"):
        augment_pool(path, out=tmp_path / "p", options=PoolOptions())


def test_the_command(toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, shared = tmp_path / "pool", ["--variants", "2", "--per-class", "40", "--json", "--quiet"]
    assert main(["data", "augment-pool", str(toy_store), "--out", str(out), "--dry-run", *shared]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert not out.exists() and planned["splits"] == {"test": 24, "train": 48 * 3}
    assert main(["data", "augment-pool", str(toy_store), "--out", str(out), *shared]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == planned["clips"] == len(ClipStore.open(out))
    assert main(["data", "augment-pool", str(toy_store), "--out", str(out), *shared]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["data", "augment-pool", str(toy_store), "--out", str(out), "--shares", "1,0"]) == 2
    assert "--shares needs three numbers" in capsys.readouterr().err
