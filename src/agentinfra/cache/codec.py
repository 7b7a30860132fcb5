"""How values become bytes in the shared tier: never pickle, and nothing comes back changed."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from agentinfra.cache.sizing import estimate_bytes
from agentinfra.errors import CacheError

__all__ = ["Codec", "PlainCodec"]

V = TypeVar("V")


class Codec(Protocol[V]):
    """Turns the values of one cache into bytes and back."""

    def encode(self, value: V) -> bytes | None:
        """Return the bytes, None for a value that would not come back as it is."""
        ...

    def decode(self, data: bytes) -> V:
        """Return the value.

        Raises:
            CacheError: The bytes are not of this cache.
        """
        ...

    def size(self, value: V) -> int:
        """Return the bytes the value takes in memory, near enough."""
        ...


class PlainCodec:
    """MessagePack for what JSON knows, and bytes and dates; other values stay in memory.

    A value is only written when reading it gives an equal one: tuples, objects and sets would
    come back as something else in another process.
    """

    def encode(self, value: Any) -> bytes | None:
        """Return the MessagePack of a value that survives it, else None."""
        try:
            data = msgspec.msgpack.encode(value)
            same = bool(_equal(msgspec.msgpack.decode(data), value))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            return None
        return data if same else None

    def decode(self, data: bytes) -> Any:
        """Return the value of a MessagePack.

        Raises:
            CacheError: It is none.
        """
        try:
            return msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise CacheError(f"the shared tier holds something else ({error})") from error

    def size(self, value: Any) -> int:
        """Return an estimate of the memory a value takes."""
        return estimate_bytes(value)


def _equal(read: Any, written: Any) -> bool:
    """Compare with kinds: a named tuple, a subclass of str or an enum are not what they equal."""
    if type(read) is not type(written):
        return False
    if isinstance(read, dict):
        return len(read) == len(written) and all(
            _equal(a, b) and _equal(x, y)
            for (a, x), (b, y) in zip(read.items(), written.items(), strict=True)
        )
    if isinstance(read, list):
        return all(_equal(a, b) for a, b in zip(read, written, strict=True))
    return bool(read == written)
