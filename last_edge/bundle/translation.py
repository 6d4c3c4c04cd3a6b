"""What a translator's bundle holds beside manifest, golden tensors and card: two graphs, sub-words, search."""

from __future__ import annotations

from last_edge.bundle.manifest import Manifest

TOKENIZER = "tokenizer.json"
SEARCH = "search.json"
MEMORY = ("memory_keys", "memory_values", "memory_keep")
"""Outputs of the encoder and inputs of the decoder: (N, layers, H, S, d) twice and (N, S)."""
PAST = ("past_keys", "past_values")
"""Inputs of the decoder: (N, layers, H, P, d), P sub-words so far; P may be 0."""
KEPT = ("keys", "values")
"""Outputs of the decoder: its `PAST` with one sub-word more."""
TOKEN, POSITION = "token", "position"


def encoder_file(precision: str) -> str:
    """File name of one precision's encoder."""
    return f"encoder.{precision}.onnx"


def decoder_file(precision: str = "fp32") -> str:
    """File name of one precision's decoder."""
    return f"decoder.{precision}.onnx"


def decoder_of(manifest: Manifest, precision: str) -> str:
    """File name of the decoder that works with one precision's encoder: its own, or the FP32 one."""
    own = decoder_file(precision)
    return own if own in manifest.files else decoder_file()


def translates(manifest: Manifest) -> bool:
    """Whether a bundle gives sentences."""
    return encoder_file("fp32") in manifest.files


def encoder_precisions(manifest: Manifest) -> tuple[str, ...]:
    """Precisions with an encoder, `fp32` first."""
    return tuple(name for name in ("fp32", "int8") if encoder_file(name) in manifest.files)
