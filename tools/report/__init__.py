"""Reports: what runs and bundles measured, side by side, every figure read from a file or measured on the spot."""
