"""What goes into a collection: records, and their vectors, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.values import as_json, check_text, shown
from agentinfra.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_DIMENSIONS",
    "Checked",
    "Record",
    "Rows",
    "as_rows",
    "check",
    "one_vector",
    "vectors_of",
]

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
class Checked:
    """Records that can be stored, by column."""

    ids: list[str]
    texts: list[str]
    metadata: list[str]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Records as they are sent: one a distinct id, ordered by it.

    The order is what keeps two writers of the same records from waiting for each other for ever.
    Nothing is moved for it: vectors may be hundreds of megabytes.

    Attributes:
        records: What they hold.
        vectors: Their vectors, a row each.
        order: The places of the records, in the order they are sent.
    """

    records: Checked
    vectors: NDArray[np.float32]
    order: list[int]

    def __len__(self) -> int:
        return len(self.order)

    @property
    def ids(self) -> list[str]:
        """The ids in the order they are sent."""
        return [self.records.ids[place] for place in self.order]

    def tuples(self) -> Iterator[tuple[str, str, str, NDArray[np.float32]]]:
        """Return the rows one by one."""
        ids, texts, metadata = self.records.ids, self.records.texts, self.records.metadata
        return ((ids[n], texts[n], metadata[n], self.vectors[n]) for n in self.order)


def check(records: Iterable[Mapping[str, Any] | Record]) -> Checked:
    """Return records, whatever form they were given in, in one pass over them.

    Raises:
        VectorError: One has no id, or something that cannot be stored; the message names it.
    """
    if isinstance(records, str | Mapping) or not isinstance(records, Iterable):
        raise VectorError(f"the records are {shown(records)}: give a list of them")
    ids: list[str] = []
    texts: list[str] = []
    metadata: list[str] = []
    for number, record in enumerate(records):
        name, text, held = _parts(number, record)
        _check_id(number, name)
        check_text(text, f"the text of record {name!r}")
        ids.append(name)
        texts.append(text)
        metadata.append(_json_of(name, held))
    return Checked(ids=ids, texts=texts, metadata=metadata)


def _parts(number: int, record: Any) -> tuple[Any, Any, Any]:
    if isinstance(record, Record):
        return record.id, record.text, record.metadata
    if not isinstance(record, Mapping):
        raise VectorError(
            f"record {number} is {shown(record)}: give a mapping with an id and a text"
        )
    if not record.keys() <= _KEYS:
        unknown = sorted(map(str, record.keys() - _KEYS))
        raise VectorError(
            f"record {number} has the key {unknown[0]!r}: there are id, text and metadata, and "
            "all else belongs into metadata"
        )
    return record.get("id", ""), record.get("text", ""), record.get("metadata")


def _check_id(number: int, name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise VectorError(f"record {number} has the id {shown(name)}: give it a text of its own")
    if len(name) > _LONGEST_ID // 4 and len(name.encode(errors="replace")) > _LONGEST_ID:
        raise VectorError(
            f"record {number} has an id of {len(name)} characters, {shown(name, 40)}...: "
            f"it may have {_LONGEST_ID} bytes, so use a hash of it"
        )
    check_text(name, f"the id of record {number}")


def _json_of(name: str, metadata: Any) -> str:
    if metadata is None or metadata == {}:
        return "{}"
    if not isinstance(metadata, Mapping):
        raise VectorError(f"record {name!r} has the metadata {shown(metadata)}: give it a mapping")
    try:
        return as_json(metadata if type(metadata) is dict else dict(metadata))
    except VectorError as error:
        raise VectorError(f"record {name!r}: {error}") from None


def as_rows(records: Checked, vectors: NDArray[np.float32]) -> Rows:
    """Return the rows to send; of records with one id the last wins."""
    places = {name: place for place, name in enumerate(records.ids)}
    order = [places[name] for name in sorted(places)]
    return Rows(records=records, vectors=vectors, order=order)


def vectors_of(embeddings: ArrayLike, ids: Sequence[str]) -> NDArray[np.float32]:
    """Return one float32 row a record.

    Raises:
        VectorError: There are more or fewer, or one cannot be compared; the message names it.
    """
    vectors = _as_array(embeddings, "the embeddings")
    if vectors.ndim != 2 or len(vectors) != len(ids) or not vectors.shape[1]:
        raise VectorError(
            f"the embeddings have the shape {vectors.shape} for {len(ids)} records: give one "
            "row a record, all of one length"
        )
    if vectors.shape[1] > MAX_DIMENSIONS:
        raise VectorError(
            f"the embeddings have {vectors.shape[1]} dimensions: a vector has 1 to {MAX_DIMENSIONS}"
        )
    for place, fault in _faults(vectors):
        raise VectorError(f"the embedding of record {ids[place]!r} {fault}")
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
    if not 0 < vector.dot(vector) < math.inf:  # one product, where a look at each number is slow
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
