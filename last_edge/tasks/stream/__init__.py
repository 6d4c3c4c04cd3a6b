"""Learning from long recordings: what is shown at every frame."""
