"""Bundles as they are built: from a run to files, manifest and card."""
