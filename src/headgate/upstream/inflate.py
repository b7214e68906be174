"""Decompression of answers that come compressed although ``identity`` was asked for, with bounds on what comes out."""

import zlib
from typing import Final, Protocol

from headgate.upstream.transport import AnswerTooLargeError, EncodedAnswerError, MalformedHttpError

MAX_RATIO: Final = 100
"""Output may be this many times the input; text of a language model compresses 3 to 20 times, a bomb 1,000 times."""
RATIO_FREE_BYTES: Final = 1024 * 1024
"""Below this much output the ratio is not looked at: short answers of blanks are not an attack."""

_GZIP_WBITS: Final = 31
_ZLIB_WBITS: Final = 15
_RAW_WBITS: Final = -15
_CODINGS: Final = {"gzip": _GZIP_WBITS, "x-gzip": _GZIP_WBITS, "deflate": _ZLIB_WBITS}


class _Decompressor(Protocol):
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


class Inflater:
    """Decodes one body of the coding ``gzip`` or ``deflate`` (RFC 9110 §8.4.1), piece by piece.

    Raises on construction:
        EncodedAnswerError: another coding, or several.
    """

    def __init__(self, coding: str, max_bytes: int) -> None:
        wbits = _CODINGS.get(coding)
        if wbits is None:
            raise EncodedAnswerError(f"the answer is encoded as {coding[:40]!r} although none was asked for", sent=True)
        self._wbits = wbits
        self._max_bytes = max_bytes
        self._decompressor: _Decompressor | None = None
        self._begun = False
        self._taken = 0
        self._made = 0

    def feed(self, data: bytes) -> bytes:
        """Decode a piece; the result may be empty.

        Raises:
            AnswerTooLargeError: the output exceeds the size cap or the ratio bound.
            MalformedHttpError: the data is not of the coding.
        """
        self._taken += len(data)
        pieces: list[bytes] = []
        while data:
            decompressor = self._decompressor or self._start(data)
            room = self._room()
            try:
                piece = decompressor.decompress(data, room + 1)
            except zlib.error as error:
                raise MalformedHttpError(f"the compressed body cannot be decoded: {error}", sent=True) from error
            self._made += len(piece)
            if len(piece) > room:
                raise AnswerTooLargeError("the decompressed body exceeds the bound", sent=True)
            if piece:
                pieces.append(piece)
            data = decompressor.unconsumed_tail
            if decompressor.eof:
                data = decompressor.unused_data
                self._decompressor = None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> None:
        """Say that the body ended.

        Raises:
            MalformedHttpError: the compressed data is incomplete.
        """
        if self._decompressor is not None:
            raise MalformedHttpError("the compressed body ends early", sent=True)

    def _start(self, data: bytes) -> _Decompressor:
        if self._begun and self._wbits != _GZIP_WBITS:
            raise MalformedHttpError("bytes follow the end of the compressed body", sent=True)
        wbits = self._wbits
        # Some servers send raw deflate under the name of zlib's; a zlib stream's first nibble is always 8 (RFC 1950).
        if wbits == _ZLIB_WBITS and data[0] & 0x0F != 8:
            wbits = _RAW_WBITS
        self._begun = True
        self._decompressor = zlib.decompressobj(wbits)
        return self._decompressor

    def _room(self) -> int:
        return min(self._max_bytes, max(RATIO_FREE_BYTES, self._taken * MAX_RATIO)) - self._made
