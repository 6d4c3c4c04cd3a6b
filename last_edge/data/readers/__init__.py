"""Readers of datasets, one file a format, and what they share."""
