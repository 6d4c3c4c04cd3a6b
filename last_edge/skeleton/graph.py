"""A layout as a graph: partitions for spatial graph convolution, and regions of the body that move as one.

Partitions as in Yan et al. 2018 (ST-GCN), spatial configuration.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from last_edge.skeleton.layout import Layout

UNREACHED = 10**6


def hop_distance(layout: Layout) -> NDArray[np.int64]:
    """(V, V) number of edges between two joints by full breadth-first search; `UNREACHED` where no path is."""
    reach = np.eye(layout.joints, dtype=bool)
    step = _neighbours(layout) | reach
    distance = np.where(reach, 0, UNREACHED)
    for hop in range(1, layout.joints):
        grown = (reach.astype(np.int64) @ step.astype(np.int64)) > 0
        distance[grown & ~reach] = hop
        reach = grown
    return distance


def centre_distance(layout: Layout) -> NDArray[np.int64]:
    """(V,) hops from each joint to the nearest centre joint."""
    return np.asarray(hop_distance(layout)[:, list(layout.centre)].min(axis=1))


def ancestors(layout: Layout) -> NDArray[np.float32]:
    """(V, V) row v is 1 at v and at each joint on the way from it to its root."""
    found = np.eye(layout.joints, dtype=np.float32)
    for joint, parent in enumerate(layout.parents):
        while found[joint, parent] == 0:
            found[joint, parent] = 1
            parent = layout.parents[parent]
    return found


def spatial_partition(layout: Layout, *, max_hop: int = 1, legacy: bool = False) -> NDArray[np.float32]:
    """(K, V, V) normalised adjacency, K = 2 * max_hop + 1: self, then towards and away from the centre at each hop.

    Subset entries are 0/1 and every subset is normalised by the degree of their union: D^-1/2 A_k D^-1/2.
    `legacy` cuts the breadth-first search at `max_hop`, as the public ST-GCN graph code does.
    """
    hops = hop_distance(layout)
    to_centre = centre_distance(layout)
    if legacy:
        to_centre = np.where(to_centre > max_hop, UNREACHED, to_centre)
    towards = to_centre[:, None] >= to_centre[None, :]
    subsets = [np.eye(layout.joints)]
    for hop in range(1, max_hop + 1):
        ring = hops == hop
        subsets += [ring & towards, ring & ~towards]
    return _normalise(np.stack(subsets).astype(np.float64))


def _neighbours(layout: Layout) -> NDArray[np.bool_]:
    adjacent = np.zeros((layout.joints, layout.joints), dtype=bool)
    for one, other in layout.edges:
        adjacent[one, other] = adjacent[other, one] = True
    return adjacent


def _normalise(subsets: NDArray[np.float64]) -> NDArray[np.float32]:
    degree = subsets.sum(axis=(0, 2))
    root = 1.0 / np.sqrt(np.maximum(degree, 1.0))
    return np.asarray(subsets * root[None, :, None] * root[None, None, :], np.float32)


def body_regions(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Joints by region, each joint in exactly one, in the order of `layout.parts`.

    A region is a part of the layout. A joint of several parts belongs to the smallest, so a knuckle counts to its
    finger and not to the palm. Joints of no part make regions of their own: the unbranched pieces of the tree.
    """
    regions: dict[str, list[int]] = {name: [] for name in layout.parts}
    for joint in range(layout.joints):
        regions.setdefault(_region(joint, layout), []).append(joint)
    return {name: tuple(joints) for name, joints in regions.items() if joints}


def _region(joint: int, layout: Layout) -> str:
    own = [name for name, joints in layout.parts.items() if joint in joints]
    return min(own, key=lambda name: len(layout.parts[name])) if own else layout.names[_branch(joint, layout)]


def _branch(joint: int, layout: Layout) -> int:
    """The first joint of the unbranched piece of the tree that a joint lies on."""
    while _only_child(joint, layout):
        joint = layout.parents[joint]
    return joint


def _only_child(joint: int, layout: Layout) -> bool:
    parent = layout.parents[joint]
    siblings = [child for child, its in enumerate(layout.parents) if its == parent and child != parent]
    return parent != joint and siblings == [joint]
