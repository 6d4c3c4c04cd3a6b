"""Clips of one's own signs: from a camera, a video or a replay, take by take, into a clip store."""
