"""Landmarks and visual features out of videos: what to do, one video, many of them, and the store of it all."""
