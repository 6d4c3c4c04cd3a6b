"""What a run does with its events."""
