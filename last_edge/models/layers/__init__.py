"""Building blocks of the models, each beside what an exported graph has in its place.

`deployed()` of a block that is in eval mode and float64, and not used any more, gives that form: itself with its norms
folded into its convolutions, or an `Edge...` module of constants.
"""
