"""Clips on disk: the memory-mapped clip store and its writer. numpy, and pyarrow when an index is touched."""

from last_edge.clips.store import ClipIndex, ClipStore
from last_edge.clips.writer import StoreWriter, writing_store

__all__ = ["ClipIndex", "ClipStore", "StoreWriter", "writing_store"]
