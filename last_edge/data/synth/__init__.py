"""Synthetic signs: an articulated signer performs glosses made of handshape, location, movement and orientation."""

from last_edge.data.synth.generate import gloss_names, synthesise
from last_edge.data.synth.options import SynthOptions

__all__ = ["SynthOptions", "gloss_names", "synthesise"]
