"""LAST-Edge: skeleton recognition from training to an INT8 model on an edge device."""

__version__ = "0.1.0"
