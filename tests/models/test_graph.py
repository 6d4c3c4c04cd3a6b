"""Graph partitions: breadth-first distances reach every joint, subsets cover each hop once."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.skeleton import Layout, get_layout, layout_names
from last_edge.skeleton.graph import centre_distance, hop_distance, spatial_partition


def test_subset_sizes_of_the_25_joint_tree(ntu25: Layout) -> None:
    sizes = [int((subset > 0).sum()) for subset in spatial_partition(ntu25, max_hop=1)]
    assert sizes == [25, 24, 24]


@pytest.mark.parametrize("name", layout_names())
@pytest.mark.parametrize("max_hop", [1, 2, 3])
def test_subsets_cover_every_pair_within_reach_once(name: str, max_hop: int) -> None:
    layout = get_layout(name)
    subsets = spatial_partition(layout, max_hop=max_hop) > 0
    assert subsets.shape == (2 * max_hop + 1, layout.joints, layout.joints)
    np.testing.assert_array_equal(subsets.sum(0), hop_distance(layout) <= max_hop)


def test_normalised_by_the_degree_of_the_union(toy_layout: Layout) -> None:
    union = spatial_partition(toy_layout, max_hop=1).sum(0)
    degree = (union > 0).sum(1)
    expected = (union > 0) / np.sqrt(np.outer(degree, degree))
    np.testing.assert_allclose(union, expected, rtol=1e-6)


def test_every_joint_knows_its_way_to_the_centre(ntu25: Layout) -> None:
    assert centre_distance(ntu25).max() < ntu25.joints
    legacy, full = (spatial_partition(ntu25, max_hop=1, legacy=legacy) > 0 for legacy in (True, False))
    assert legacy[1].sum() > full[1].sum()
