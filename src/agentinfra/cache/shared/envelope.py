"""What stands in the shared tier: a value's bytes, and all that is known about them."""

from __future__ import annotations

import struct
import time
from typing import NamedTuple

import msgspec

from agentinfra.errors import CacheError

__all__ = ["FRESH_AT", "MAGIC", "Envelope", "open_envelope", "seal"]

MAGIC = b"ai\x02"
"""How every envelope begins: whose it is, and the version of what follows."""

_HEADER = struct.Struct(">3sBddIH")
FRESH_AT = 5
"""Where the time until which the value is fresh stands, counted from 1: for scripts."""

_READ_TAGS = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


class Envelope(NamedTuple):
    """A value on its way.

    Attributes:
        data: The codec's bytes.
        codec: The codec's number.
        fresh: Seconds the value is fresh for, by the clocks of the two machines, and never more
            than when it was stored; 0 or less where it is stale.
        dimensions: Of a vector; 0 for what is none.
        tags: The tags it was stored under, each with its stamp at that time.
    """

    data: bytes
    codec: int
    fresh: float
    dimensions: int = 0
    tags: tuple[tuple[str, bytes], ...] = ()


def seal(envelope: Envelope) -> bytes:
    """Return the envelope's bytes."""
    tags = msgspec.msgpack.encode(envelope.tags) if envelope.tags else b""
    if len(tags) > 0xFFFF:
        raise CacheError(f"{len(envelope.tags)} tags are too many for one value: give fewer")
    fresh = envelope.fresh
    head = _HEADER.pack(
        MAGIC, envelope.codec, time.time() + fresh, fresh, envelope.dimensions, len(tags)
    )
    return head + tags + envelope.data


def open_envelope(data: bytes, *, codec: int) -> Envelope:
    """Return what the bytes hold.

    Raises:
        CacheError: They are no envelope of this version and codec.
    """
    try:
        magic, number, until, at_first, dimensions, size = _HEADER.unpack_from(data)
        start = _HEADER.size + size
        tags = _READ_TAGS.decode(data[_HEADER.size : start]) if size else ()
    except (struct.error, msgspec.MsgspecError) as error:
        raise CacheError(f"the shared tier holds something else ({error})") from None
    if magic != MAGIC or number != codec:
        raise CacheError("the shared tier holds something of another version or codec")
    fresh = min(until - time.time(), at_first)
    return Envelope(data[start:], number, fresh, dimensions, tuple(tags))
