"""Sub-words by number, and back to a sentence."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from last_edge.errors import InputError

SPECIAL = ("[PAD]", "[UNK]", "[SOS]", "[EOS]")
PAD, UNK, SOS, EOS = range(4)
SPACE = "\u2581"
"""What stands for a space in a sub-word."""


def normalised(text: str) -> str:
    """A text as sub-words can spell it: lower case, without accents, spaces single."""
    apart = unicodedata.normalize("NFD", text.lower())
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(unicodedata.normalize("NFC", plain).split())


@dataclass(frozen=True)
class Vocabulary:
    """tokens: sub-words in the order of the logits, those of `SPECIAL` first."""

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL)] != SPECIAL or len(self.tokens) == len(SPECIAL):
            raise InputError("not a translator's vocabulary", expected=" ".join(SPECIAL), got=self.tokens[:5])

    def __len__(self) -> int:
        return len(self.tokens)

    def text(self, ids: Iterable[int]) -> str:
        """The sentence that some sub-words spell, up to the first end; what is special is left out."""
        parts = []
        for number in ids:
            if number == EOS:
                break
            parts += [] if number < len(SPECIAL) else [self.tokens[number]]
        return "".join(parts).replace(SPACE, " ").strip()
