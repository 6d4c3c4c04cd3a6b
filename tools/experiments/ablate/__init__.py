"""Ablations: one plan, many runs, one table on the validation subjects."""
