"""How octets are made smaller: the one place that codes and decodes, by zstandard.

Key material is random, so there is little to gain, by measurement: of small certificates a third,
by a dictionary of what they have in common; of the version before a certificate's present one
nearly all, with the present one as its dictionary. Everything else is stored as it is.

What is coded is a zstandard frame without its first four octets, which are the same in all, and
with the size of its content, so that nothing is unpacked that is larger than it may be. It has no
checksum and no name of its dictionary: whoever stores it has hashes of the content.

Source: RFC 8878; the dictionary's size and the levels are measured, `bench storage`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import zstandard

from keygrove.errors import DamagedError
from keygrove.storage.address import dictionary_hash

SMALL_BYTES: Final = 2_048
"""Larger values hold little else than key material and signatures."""
DICTIONARY_BYTES: Final = 4_096
"""Of certificates with random user IDs, larger ones gain nothing."""
DELTA_BYTES_MAX: Final = 512 * 1024
"""Of what is coded by another value: more takes too long at once."""
LEVEL: Final = 3
_MAGIC: Final = zstandard.FRAME_HEADER
_DICTIONARIES: Final = 256
"""In memory, with what zstandard makes of each: those of 64 shards, and some former ones."""


class Dictionary:
    """What small values have in common. May be used by several threads."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self._shared = zstandard.ZstdCompressionDict(octets)
        self._shared.precompute_compress(level=LEVEL)  # pyright: ignore[reportUnknownMemberType] - its stub
        # None may be used twice at once, and to make one takes longer than to use it: whoever
        # needs one takes it out, which no other thread can do at the same time, or makes another.
        self._compressors: list[zstandard.ZstdCompressor] = []
        self._decompressors: list[zstandard.ZstdDecompressor] = []

    def encode(self, value: bytes) -> bytes | None:
        """The value coded, or None if it is not small, or that does not pay."""
        if not 0 < len(value) < SMALL_BYTES:
            return None
        try:
            compressor = self._compressors.pop()
        except IndexError:
            compressor = zstandard.ZstdCompressor(
                level=LEVEL, dict_data=self._shared, write_dict_id=False
            )
        frame = compressor.compress(value)
        self._compressors.append(compressor)
        return _unless_futile(frame, value)

    def decode(self, coded: bytes, size_max: int) -> bytes:
        """What `encode` was given.

        Raises:
            DamagedError: it is not what `encode` made, or becomes larger than that.
        """
        try:
            decompressor = self._decompressors.pop()
        except IndexError:
            decompressor = zstandard.ZstdDecompressor(dict_data=self._shared)
        value = _unpacked(decompressor, coded, size_max)
        self._decompressors.append(decompressor)
        return value


@lru_cache(maxsize=_DICTIONARIES)  # of immutable octets: whoever asks gets the same
def dictionary(octets: bytes, name: bytes) -> Dictionary:
    """The dictionary of these octets.

    Raises:
        DamagedError: they are not the ones with that name (`address.dictionary_hash`).
    """
    if dictionary_hash(octets) != name:
        raise DamagedError("heap.db is damaged: a dictionary is not what was written there")
    return Dictionary(octets)


def train(samples: Sequence[bytes]) -> Dictionary | None:
    """A dictionary for values like these; None if they have too little in common.

    Takes a tenth of a second for a thousand values: not for an event loop.
    """
    try:
        octets = zstandard.train_dictionary(DICTIONARY_BYTES, list(samples), level=LEVEL)
    except zstandard.ZstdError:
        return None
    return Dictionary(octets.as_bytes())


def share(values: Sequence[bytes], known: Dictionary | None) -> float:
    """Which part of the octets of these values is left, if they are coded where that pays."""
    coded = [(known.encode(value) if known else None) or value for value in values]
    return sum(map(len, coded)) / sum(map(len, values))


def encode_delta(value: bytes, base: bytes) -> bytes | None:
    """The value by what differs from `base`; None if there is too much of it, or nothing saved."""
    if not value or not base or len(value) + len(base) > DELTA_BYTES_MAX:
        return None
    parameters = zstandard.ZstdCompressionParameters.from_level(  # pyright: ignore[reportUnknownMemberType] - its stub
        LEVEL, source_size=len(value), dict_size=len(base), write_dict_id=False
    )
    compressor = zstandard.ZstdCompressor(dict_data=_raw(base), compression_params=parameters)
    return _unless_futile(compressor.compress(value), value)


def decode_delta(coded: bytes, base: bytes, size_max: int) -> bytes:
    """What `encode_delta` was given.

    Raises:
        DamagedError: as `Dictionary.decode`.
    """
    return _unpacked(zstandard.ZstdDecompressor(dict_data=_raw(base)), coded, size_max)


def _raw(octets: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(octets, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _unless_futile(frame: bytes, value: bytes) -> bytes | None:
    """Without its first octets, if that is an eighth smaller than the value, or more."""
    coded = frame[len(_MAGIC) :]
    return coded if 8 * len(coded) <= 7 * len(value) else None


def _unpacked(decompressor: zstandard.ZstdDecompressor, coded: bytes, size_max: int) -> bytes:
    frame = _MAGIC + coded
    try:
        if 0 < zstandard.frame_content_size(frame) <= size_max:
            return decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedError("heap.db is damaged: a value cannot be decoded") from error
    raise DamagedError("heap.db is damaged: a value says that it is larger than it was")
