"""8-bit files: calibration, ranges, formats, rounding, training through it, and the gates they must pass."""
