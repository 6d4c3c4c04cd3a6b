"""NTU RGB+D's ids: the protocols' counts on every id, and made recordings in the official format."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from last_edge.data.readers.ntu import (
    MUTUAL_ACTIONS,
    TRAIN_SUBJECTS,
    missing_ids,
    parse_id,
    parse_skeleton,
    select_bodies,
)
from last_edge.data.synth.ntu import (
    HALVES,
    PUBLISHED,
    NtuSynthOptions,
    count_splits,
    groups_of,
    part,
    skeleton_file,
)

IDS = {60: 56_880, 120: 114_480}
MISSING = {60: 302, 120: 535}

GROUP = 360
"""Clips of one person in one setup."""


@pytest.fixture(scope="module", params=[60, 120])
def names(request):
    return request.param, part(request.param, groups=0, actions=0)


def test_every_id_is_there_once(names):
    classes, ids = names
    assert len({name.clip_id for name in ids}) == len(ids) == IDS[classes]
    assert len(missing_ids() & {name.clip_id for name in ids}) == MISSING[classes]
    assert set(Counter(name.action for name in ids)) == set(range(1, classes + 1))
    assert {name.setup for name in ids} == set(range(1, 18 if classes == 60 else 33))
    assert {name.subject for name in ids} == set(range(1, 41 if classes == 60 else 107))


def test_protocols_count_as_published_with_and_without_the_missing_list(names):
    classes, ids = names
    whole, kept = count_splits(ids), count_splits(ids, without=missing_ids())
    for (of, protocol), published in PUBLISHED.items():
        if of == classes:
            assert (whole[protocol]["train"], whole[protocol]["test"]) == published["all"]
            assert (kept[protocol]["train"], kept[protocol]["test"]) == published["kept"]


def test_ntu60_xsub_has_672_and_276_clips_a_class():
    counts = Counter((name.split("xsub"), name.action) for name in part(60, groups=0, actions=0))
    assert {split: {counts[split, action] for action in range(1, 61)} for split in ("train", "test")} == {
        "train": {672},
        "test": {276},
    }


@pytest.mark.parametrize(("classes", "protocol"), PUBLISHED)
def test_missing_list_alone_explains_the_published_counts(classes, protocol):
    """No assumption about groups: what the 535 ids take from each split is what makes whole groups of 360 clips."""
    listed = [name for name in map(parse_id, sorted(missing_ids())) if name.action <= classes]
    taken = count_splits(listed)[protocol]
    published = PUBLISHED[classes, protocol]
    for split, whole, kept in zip(("train", "test"), published["all"], published["kept"], strict=True):
        assert whole - kept == taken[split]
        assert whole % (GROUP if protocol != "xview" else GROUP // 3) == 0


def test_groups_are_those_of_the_missing_list_and_more():
    known = {(name.setup, name.subject, name.action > 60) for name in map(parse_id, missing_ids())}
    chosen = {(*group, half is HALVES[1]) for half in HALVES for group in groups_of(half)}
    assert (len(known), len(chosen)) == (174, 318)
    assert known <= chosen


@pytest.mark.parametrize(("classes", "clips"), [(60, 4 * 3 * 6), (120, 2 * 4 * 3 * 6)])
def test_a_part_has_every_split_of_every_protocol(classes, clips):
    names = part(classes, groups=4, actions=3)
    assert len(names) == clips
    assert all(set(counts) == {"train", "test"} for counts in count_splits(names).values())
    assert {name.action for name in names} & MUTUAL_ACTIONS
    assert {name.subject in TRAIN_SUBJECTS for name in names} == {True, False}


def test_the_whole_has_every_clip_of_its_groups_once():
    names = part(60, groups=0, actions=0)
    groups = {(name.setup, name.subject) for name in names}
    assert len(set(names)) == len(names) == GROUP * len(groups) == 56_880


def bodies_of(name, **options):
    return select_bodies(parse_skeleton(skeleton_file(name, NtuSynthOptions(**options)), name.clip_id))


def test_made_files_show_as_many_people_as_the_action_has():
    for name in part(60, groups=4, actions=3):
        people = 0 if name.clip_id in missing_ids() else 2 if name.action in MUTUAL_ACTIONS else 1
        assert len(bodies_of(name, odd=1.0, frames=36)) == people, name.clip_id


def test_tracking_faults_leave_the_person_whole():
    name = parse_id("S001C001P001R001A012")
    (plain,), (odd,) = bodies_of(name, odd=0.0, frames=36), bodies_of(name, odd=1.0, frames=36)
    assert plain.shape == odd.shape
    assert not np.isnan(odd).any()
    np.testing.assert_allclose(odd, plain, atol=0.05)


def test_cameras_see_one_performance_from_three_sides():
    one, other = (bodies_of(parse_id(f"S001C00{camera}P001R001A012"), odd=0.0)[0] for camera in (1, 2))
    assert one.shape == other.shape
    limbs = [np.linalg.norm(body[:, 9] - body[:, 0], axis=-1) for body in (one, other)]
    np.testing.assert_allclose(limbs[0], limbs[1], atol=0.05)
    assert np.abs((one - one[:, :1]) - (other - other[:, :1])).max() > 0.1


def test_same_seed_same_text():
    name = parse_id("S002C003P004R002A050")
    assert skeleton_file(name, NtuSynthOptions()) == skeleton_file(name, NtuSynthOptions())
    assert skeleton_file(name, NtuSynthOptions()) != skeleton_file(name, NtuSynthOptions(seed=1))
