"""Joint layouts as data: names, tree, pairs, centre, parts. One JSON file a layout; any sensor has its own.

And what a layout decides: a body's mirror image and its unit of length; the graph of its joints, with the partitions of
spatial graph convolution (Yan et al. 2018, ST-GCN, spatial configuration) and the regions that move as one.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.errors import InputError
from last_edge.names import did_you_mean

SHIPPED = Path(__file__).parent / "layouts"
PLANES = ((1, 2), (0, 2), (0, 1))
"""The plane that a turn about x, y or z leaves as it is."""
UNREACHED = 10**6


@dataclass(frozen=True)
class Layout:
    """What a sensor's points are called and how they hang together.

    names: one a joint, in storage order.
    parents: index of each joint's parent; a root is its own parent.
    pairs: (left, right) joints that a mirror exchanges.
    centre: joints whose mean is the origin after centring.
    scale: two joints (or two groups, by their mean) whose distance is the unit of length.
    limbs: undirected graph edges beyond the tree; empty means the tree alone.
    parts: named groups of joints, used by `data info`.
    description: for people; layouts that differ in it alone are the same.
    """

    name: str
    names: tuple[str, ...]
    parents: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    centre: tuple[int, ...] = (0,)
    scale: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    limbs: tuple[tuple[int, int], ...] = ()
    parts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    description: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for fault in _faults(self):
            raise InputError(f"layout {self.name!r}: {fault}")

    @property
    def joints(self) -> int:
        """V, the number of joints."""
        return len(self.names)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Undirected graph edges: every (child, parent) of the tree and the extra limbs."""
        tree = [(child, parent) for child, parent in enumerate(self.parents) if child != parent]
        return (*tree, *self.limbs)

    @property
    def one_hand(self) -> bool:
        """Whether it is a hand, left or right, alone."""
        return not self.pairs and any("thumb" in name.lower() for name in self.names)

    @property
    def hands(self) -> tuple[int, ...]:
        """Joints of hands with fingers; every joint of a layout without."""
        if self.one_hand:
            return tuple(range(self.joints))
        fingers = [joint for joint, name in enumerate(self.names) if name.startswith(("left_hand_", "right_hand_"))]
        return tuple(fingers or range(self.joints))

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the joint that takes its place in a mirror."""
        order = list(range(self.joints))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)


def _faults(layout: Layout) -> list[str]:
    joints = layout.joints
    faults = []
    if joints == 0 or len(set(layout.names)) != joints:
        faults.append("joint names must be unique and at least one")
    if len(layout.parents) != joints:
        faults.append(f"{len(layout.parents)} parents for {joints} joints")
    ends = (*layout.scale[0], *layout.scale[1]) if layout.scale else ()
    edges = (*layout.pairs, *layout.limbs)
    members = [joint for part in layout.parts.values() for joint in part]
    used = [*layout.parents, *layout.centre, *ends, *(end for edge in edges for end in edge), *members]
    if any(not 0 <= joint < joints for joint in used):
        faults.append(f"a joint index is outside 0..{joints - 1}")
    elif len(layout.parents) == joints:
        above = list(range(joints))
        for _ in range(joints):
            above = [layout.parents[joint] for joint in above]
        if any(layout.parents[joint] != joint for joint in above):
            faults.append("the parents form a cycle (a root is its own parent)")
    paired = [end for pair in layout.pairs for end in pair]
    if len(set(paired)) != len(paired):
        faults.append("a joint stands in two left/right pairs")
    if not layout.centre or (layout.scale is not None and not (layout.scale[0] and layout.scale[1])):
        faults.append("centre and both ends of scale need at least one joint")
    return faults


def layout_names() -> tuple[str, ...]:
    """Names of the shipped layouts."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))


@cache
def get_layout(name: str) -> Layout:
    """A shipped layout by name; `InputError` with the nearest names when unknown."""
    if name not in layout_names():
        raise InputError(f"unknown layout {name!r}", expected=did_you_mean(name, layout_names()))
    return records.load(Layout, SHIPPED / f"{name}.json")


def load_layout(name_or_file: str) -> Layout:
    """A shipped layout by name, or any sensor's layout from a JSON file."""
    path = Path(name_or_file)
    if path.suffix == ".json":
        return records.load(Layout, path)
    return get_layout(name_or_file)


def mirror(points: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """(..., V, C) points seen in a mirror at x = 0; missing points stay missing. Twice gives the input back.

    x is reflected at 0, not at the image's middle: callers centre points afterwards. A layout of one hand has no
    pairs, so a left hand becomes a right one.
    """
    mirrored = np.array(points[..., list(layout.mirror), :], np.float32)
    mirrored[..., 0] *= -1
    return mirrored


def limb_lengths(body: NDArray[np.floating], layout: Layout) -> NDArray[np.floating]:
    """(T, V, C) points -> (T,) lengths of the layout's `scale` limb; NaN where it is not seen or there is none."""
    if layout.scale is None:
        return np.full(len(body), np.nan, body.dtype)
    one, other = (body[:, list(ends)].mean(axis=1) for ends in layout.scale)
    return np.asarray(np.sqrt(((one - other) ** 2).sum(-1)))


def limb_length(body: NDArray[np.floating], layout: Layout) -> float:
    """Mean length of the limb over the frames of (T, V, C) that show it; NaN where none does or it has no length."""
    lengths = limb_lengths(body, layout)
    seen = lengths[~np.isnan(lengths)]
    return float(seen.mean()) if len(seen) and seen.mean() > 0 else float("nan")


def rotation(angles: NDArray[np.floating] | float, plane: tuple[int, int], *, axes: int = 3) -> NDArray[np.float64]:
    """Rotations (..., axes, axes) within a plane of two axes by angles (...) in radians."""
    angles, (one, other) = np.asarray(angles, np.float64), plane
    turned = np.tile(np.eye(axes), (*angles.shape, 1, 1))
    turned[..., one, one] = turned[..., other, other] = np.cos(angles)
    turned[..., one, other], turned[..., other, one] = -np.sin(angles), np.sin(angles)
    return turned


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
