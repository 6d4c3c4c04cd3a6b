"""Training: configuration, loop, schedules, evaluation and checkpoints."""
