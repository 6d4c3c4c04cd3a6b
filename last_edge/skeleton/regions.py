"""Body regions of a layout: disjoint groups of joints that move as one, such as a limb or a finger."""

from __future__ import annotations

from last_edge.skeleton.layout import Layout


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
