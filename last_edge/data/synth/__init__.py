"""Synthetic signs: an articulated signer performs glosses made of handshape, location, movement and orientation."""

from last_edge.data.synth.generate import SynthOptions, gloss_names, synthesise

__all__ = ["SynthOptions", "gloss_names", "synthesise"]
