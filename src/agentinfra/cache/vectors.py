"""Vectors as float32 bytes: 4 bytes a number where a list takes 40."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from agentinfra.errors import CacheError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["VECTOR_BYTES", "VectorCodec", "to_float32"]

_LITTLE_ENDIAN = "<f4"

VECTOR_BYTES = 150
"""What a vector takes beside its numbers: the array and its bytes' own."""


def to_float32(vector: Any, dimensions: int | None = None) -> NDArray[np.float32]:
    """Return a vector's numbers as a read-only copy of little-endian float32.

    Args:
        vector: What numpy reads as one row of numbers.
        dimensions: How many there have to be; None for any number but 0.

    Raises:
        CacheError: It is not such a row, or a number is not finite as float32.
    """
    import numpy as np

    try:
        with np.errstate(over="ignore"):  # too large becomes infinite, and is refused below
            row = np.asarray(vector, dtype=_LITTLE_ENDIAN)
    except (TypeError, ValueError) as error:
        raise CacheError(f"a vector has to be a row of numbers ({error})") from None
    if row.ndim != 1 or row.size == 0 or dimensions not in (None, row.size):
        wanted = "one row of numbers" if dimensions is None else f"{dimensions} numbers"
        raise CacheError(f"a vector of shape {row.shape} cannot be cached: give {wanted}")
    if not np.isfinite(row).all():
        raise CacheError("a vector with NaN or infinite numbers cannot be cached: mend its source")
    return _read_only(row.tobytes())


class VectorCodec:
    """Vectors as the bytes of their numbers."""

    number: ClassVar[int] = 3

    def encode(self, value: NDArray[np.float32]) -> bytes:
        """Return the numbers' bytes."""
        return value.tobytes()

    def decode(self, data: bytes) -> NDArray[np.float32]:
        """Return the vector.

        Raises:
            CacheError: The bytes cannot be float32 numbers.
        """
        if not data or len(data) % 4:
            raise CacheError(f"the shared tier holds {len(data)} bytes, which are no vector")
        return _read_only(data)


def _read_only(data: bytes) -> NDArray[np.float32]:
    """Return an array on bytes: nobody can write to it, whatever flags they set."""
    import numpy as np

    return np.frombuffer(data, dtype=_LITTLE_ENDIAN)
