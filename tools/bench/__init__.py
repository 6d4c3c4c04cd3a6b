"""Latency, memory and size of exported files, each row tied to the sha256 of the very file that ran."""
