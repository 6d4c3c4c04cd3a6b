"""Graph partitions of a layout for spatial graph convolution (Yan et al. 2018, ST-GCN, spatial configuration)."""

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
