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
    step = reach.copy()
    for one, other in layout.edges:
        step[one, other] = step[other, one] = True
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
    stacked = np.stack(subsets).astype(np.float64)
    root = 1.0 / np.sqrt(np.maximum(stacked.sum(axis=(0, 2)), 1.0))
    return np.asarray(stacked * root[None, :, None] * root[None, None, :], np.float32)


def body_regions(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Joints by region, each joint in exactly one, in the order of `layout.parts`.

    A region is a part of the layout. A joint of several parts belongs to the smallest, so a knuckle counts to its
    finger and not to the palm. Joints of no part make regions of their own: the unbranched pieces of the tree.
    """
    parents, own_parts = layout.parents, layout.parts
    joints = range(layout.joints)
    children = [[child for child in joints if parents[child] == joint != child] for joint in joints]
    regions: dict[str, list[int]] = {name: [] for name in own_parts}
    for joint in joints:
        within = [name for name, members in own_parts.items() if joint in members]
        first = joint
        while parents[first] != first and children[parents[first]] == [first]:
            first = parents[first]
        name = min(within, key=lambda name: len(own_parts[name])) if within else layout.names[first]
        regions.setdefault(name, []).append(joint)
    return {name: tuple(members) for name, members in regions.items() if members}
