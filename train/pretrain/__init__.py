"""Pre-training: a trunk learns from clips without labels."""
