"""Skeletons: clips, joint layouts, graphs and conversion between layouts. numpy only."""

from last_edge.skeleton.clip import Annotation, SkeletonClip, Units
from last_edge.skeleton.layout import Layout, get_layout, layout_names, load_layout

__all__ = ["Annotation", "Layout", "SkeletonClip", "Units", "get_layout", "layout_names", "load_layout"]
