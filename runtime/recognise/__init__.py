"""From points to predictions and events: a bundle's model, window, decoding, and their measure on streams."""
