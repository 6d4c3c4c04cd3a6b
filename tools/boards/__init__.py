"""Checks on emulated ARM boards: an arm64 system in a folder, and what a bundle answers in it."""
