"""Sub-words and the search for a sentence; numpy alone, so that a device does with it what training measured."""

from last_edge.text.search import (
    EOS,
    PAD,
    SOS,
    SPECIAL,
    UNK,
    SearchOptions,
    StepDecoder,
    Vocabulary,
    normalised,
    search,
)

__all__ = ["EOS", "PAD", "SOS", "SPECIAL", "UNK", "SearchOptions", "StepDecoder", "Vocabulary", "normalised", "search"]
