"""Sub-words learnt from the training sentences (byte-pair encoding, Sennrich et al. 2016)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, MissingError, UsageError
from last_edge.text import EOS, SOS, SPECIAL, UNK, Vocabulary, normalised

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


class SubWords:
    """Text to sub-word numbers. Texts are normalised first; spaces are kept in the sub-words.

    `json` is the file that travels with checkpoint and bundle, in the format of the tokenizers project.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        size = tokenizer.get_vocab_size()
        self.vocabulary = Vocabulary(tuple(str(tokenizer.id_to_token(number)) for number in range(size)))

    @classmethod
    def learn(cls, texts: Iterable[str], *, size: int) -> SubWords:
        """At most `size` sub-words from some sentences."""
        library = _library()
        if size <= len(SPECIAL):
            raise UsageError("too few sub-words", where="translate.vocabulary", expected=f"> {len(SPECIAL)}", got=size)
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=SPECIAL[UNK]))
        tokenizer.pre_tokenizer = library.pre_tokenizers.Metaspace()
        tokenizer.decoder = library.decoders.Metaspace()
        trainer = library.trainers.BpeTrainer(vocab_size=size, special_tokens=list(SPECIAL), show_progress=False)
        tokenizer.train_from_iterator(sorted(map(normalised, texts)), trainer=trainer)
        return cls(tokenizer)

    @classmethod
    def read(cls, path: Path) -> SubWords:
        """From a `tokenizer.json`; `InputError` when it is absent or not one."""
        library = _library()
        if not path.is_file():
            raise InputError("no tokenizer here", where=path, hint="a run of a translation model has one")
        try:
            return cls(library.Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except InputError:
            raise
        except Exception as error:  # the library raises a bare Exception
            raise InputError("not a tokenizer", where=path, got=str(error)[:200]) from error

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def json(self) -> str:
        """The tokenizer as JSON text."""
        return json.dumps(json.loads(self._tokenizer.to_str()), ensure_ascii=False, sort_keys=True) + "\n"

    def ids(self, text: str, *, longest: int) -> list[int]:
        """Start, sub-words, end: `longest` numbers after the start at most, the end kept."""
        return [SOS, *self._tokenizer.encode(normalised(text), add_special_tokens=False).ids[: longest - 1], EOS]

    def batch(self, texts: Iterable[str], *, longest: int) -> NDArray[np.int64]:
        """(N, L) numbers of sentences, 0 behind the shorter ones."""
        rows = [self.ids(text, longest=longest) for text in texts]
        batch = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for place, row in enumerate(rows):
            batch[place, : len(row)] = row
        return batch


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise MissingError("translation needs tokenizers", hint="pip install 'last-edge[translate]'") from error
    return tokenizers
