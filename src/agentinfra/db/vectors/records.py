"""What goes into a collection: records, and their vectors, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.values import as_json, check_text, shown
from agentinfra.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MAX_DIMENSIONS", "Record", "Rows", "as_records", "as_rows", "one_vector", "vectors_of"]

MAX_DIMENSIONS = 16_000

_KEYS = frozenset({"id", "text", "metadata"})
_LONGEST_ID = 2_000  # bytes; a row of a B-tree holds some 2,700


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something to find again.

    Attributes:
        id: What names it in its collection; writing the same id again replaces it.
        text: What it says; what is embedded when no embedding is given.
        metadata: JSON values to filter by and to get back.
    """

    id: str
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Records as they are sent: one a distinct id, ordered by it.

    The order is what keeps two writers of the same records from waiting for each other for ever.
    """

    ids: list[str]
    texts: list[str]
    metadata: list[str]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def tuples(self) -> Iterator[tuple[str, str, str, NDArray[np.float32]]]:
        """Return the rows one by one."""
        return zip(self.ids, self.texts, self.metadata, self.vectors, strict=True)


def as_records(records: Sequence[Mapping[str, Any] | Record]) -> list[Record]:
    """Return records, whatever form they were given in.

    Raises:
        VectorError: One has no id, or something that cannot be stored; the message names it.
    """
    if isinstance(records, str | Mapping) or not isinstance(records, Iterable):
        raise VectorError(f"the records are {shown(records)}: give a list of them")
    return [_checked(number, _as_record(number, record)) for number, record in enumerate(records)]


def _as_record(number: int, record: Any) -> Record:
    if isinstance(record, Record):
        return record
    if not isinstance(record, Mapping):
        raise VectorError(
            f"record {number} is {shown(record)}: give a mapping with an id and a text"
        )
    unknown = sorted(map(str, record.keys() - _KEYS))
    if unknown:
        raise VectorError(
            f"record {number} has the key {unknown[0]!r}: there are id, text and metadata, and "
            "all else belongs into metadata"
        )
    return Record(
        id=record.get("id", ""),
        text=record.get("text", ""),
        metadata=record.get("metadata") or {},
    )


def _checked(number: int, record: Record) -> Record:
    given: Any = record.id
    if not isinstance(given, str) or not given:
        raise VectorError(
            f"record {number} has the id {shown(record.id)}: give it a text of its own"
        )
    if len(given.encode(errors="replace")) > _LONGEST_ID:
        raise VectorError(
            f"record {number} has an id of {len(given)} characters, {shown(given, 40)}...: "
            f"it may have {_LONGEST_ID} bytes, so use a hash of it"
        )
    if not isinstance(record.text, str):
        raise VectorError(f"record {record.id!r} has the text {shown(record.text)}: give it a str")
    if not isinstance(record.metadata, Mapping):
        raise VectorError(
            f"record {record.id!r} has the metadata {shown(record.metadata)}: give it a mapping"
        )
    for text in (record.id, record.text):
        check_text(text, f"record {record.id!r}")
    return record


def as_rows(records: Sequence[Record], vectors: NDArray[np.float32]) -> Rows:
    """Return the rows to send; of records with one id the last wins.

    Raises:
        VectorError: A record's metadata is not JSON.
    """
    places = {record.id: place for place, record in enumerate(records)}
    order = [places[name] for name in sorted(places)]
    return Rows(
        ids=[records[place].id for place in order],
        texts=[records[place].text for place in order],
        metadata=[as_json(dict(records[place].metadata)) for place in order],
        vectors=vectors[order],
    )


def vectors_of(embeddings: ArrayLike, records: Sequence[Record]) -> NDArray[np.float32]:
    """Return one float32 row a record.

    Raises:
        VectorError: There are more or fewer, or one cannot be compared; the message names it.
    """
    vectors = _as_array(embeddings, "the embeddings")
    if vectors.ndim != 2 or len(vectors) != len(records) or not vectors.shape[1]:
        raise VectorError(
            f"the embeddings have the shape {vectors.shape} for {len(records)} records: give one "
            "row a record, all of one length"
        )
    if vectors.shape[1] > MAX_DIMENSIONS:
        raise VectorError(
            f"the embeddings have {vectors.shape[1]} dimensions: a vector has 1 to {MAX_DIMENSIONS}"
        )
    for place, fault in _faults(vectors):
        raise VectorError(f"the embedding of record {records[place].id!r} {fault}")
    return vectors


def one_vector(embedding: ArrayLike) -> NDArray[np.float32]:
    """Return a single vector to search with.

    Raises:
        VectorError: It is none, or cannot be compared.
    """
    vector = _as_array(embedding, "the embedding")
    if vector.ndim != 1 or not len(vector):
        raise VectorError(
            f"the embedding has the shape {vector.shape}: search with one vector, a list of numbers"
        )
    for _, fault in _faults(vector[None, :]):
        raise VectorError(f"the embedding {fault}")
    return vector


def _as_array(values: ArrayLike, what: str) -> NDArray[np.float32]:
    import numpy as np

    try:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise VectorError(f"{what} cannot be read as numbers: {error}") from None


def _faults(vectors: NDArray[np.float32]) -> list[tuple[int, str]]:
    """Return the first row that cannot be compared, and what is wrong with it."""
    import numpy as np

    odd = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if odd.size:
        row = vectors[odd[0]]
        column = int(np.flatnonzero(~np.isfinite(row))[0])
        return [(int(odd[0]), f"has {row[column]} at position {column}: numbers must be finite")]
    with np.errstate(over="ignore", under="ignore"):
        lengths = np.einsum("ij,ij->i", vectors, vectors)  # in single precision, as the server
    odd = np.flatnonzero((lengths == 0) | ~np.isfinite(lengths))
    if odd.size:
        most = float(np.abs(vectors[odd[0]]).max())
        return [
            (int(odd[0]), f"has no length to compare by (largest number {most:g}): normalise it")
        ]
    return []
