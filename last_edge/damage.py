"""What zipfile, zlib and numpy raise on a damaged archive or array."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib

DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, OSError, EOFError, ValueError,
          TypeError, LookupError, NotImplementedError, RuntimeError, OverflowError, MemoryError)  # fmt: skip
