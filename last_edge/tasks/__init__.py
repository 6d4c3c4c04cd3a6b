"""What can be learnt from clips: their classes, their sentences, or what movements look like. See `tasks.task`."""
