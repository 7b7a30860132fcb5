"""Rows in the binary format of COPY, as PostgreSQL's documentation of COPY lays it out."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from agentinfra.db.vectors.records import Rows

__all__ = ["COLUMNS", "stream"]

COLUMNS = ("id", "text", "metadata", "embedding")
"""The columns of a row, in order; metadata is jsonb."""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"

_START = Struct("!hi").pack  # how many fields, and the length of the first
_LENGTH = Struct("!i").pack
_JSONB = Struct("!ib").pack  # the length, and the version of jsonb's format

_BYTES_A_PART = 128 * 1024
"""Bytes put together at a time: as much as a socket holds, so that the server reads one part while
the next is made, and the loop is free between two."""


async def stream(rows: Rows, start: int, end: int) -> AsyncIterator[bytes]:
    """Give some of the rows as the bytes of one COPY."""
    yield _HEADER
    step = max(1, _BYTES_A_PART // (4 * rows.vectors.shape[1]))
    for first in range(start, end, step):
        yield _part(rows, rows.order[first : min(end, first + step)])
    yield _TRAILER


def _part(rows: Rows, places: Sequence[int]) -> bytes:
    vectors, size = _vectors(rows, places)
    ids, texts, metadata = rows.records.ids, rows.records.texts, rows.records.metadata
    parts: list[bytes] = []
    for number, place in enumerate(places):
        name, text, held = ids[place].encode(), texts[place].encode(), metadata[place].encode()
        parts += (
            _START(len(COLUMNS), len(name)),
            name,
            _LENGTH(len(text)),
            text,
            _JSONB(len(held) + 1, 1),
            held,
            vectors[number * size : (number + 1) * size],
        )
    return b"".join(parts)


def _vectors(rows: Rows, places: Sequence[int]) -> tuple[bytes, int]:
    """Return vectors as fields (their bytes, dimensions, nothing, numbers), and a field's size."""
    import numpy as np

    numbers = rows.vectors[places].astype(">f4")
    count, dimensions = numbers.shape
    size = 4 + 4 * dimensions
    fields = np.empty((count, 4 + size), np.uint8)
    fields[:, :8] = np.frombuffer(Struct("!ihh").pack(size, dimensions, 0), np.uint8)
    fields[:, 8:] = numbers.view(np.uint8)
    return fields.tobytes(), 4 + size
