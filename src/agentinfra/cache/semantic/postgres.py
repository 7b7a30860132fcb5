"""Questions and their vectors in PostgreSQL, found by pgvector: more than memory is meant for."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.cache.semantic.neighbours import Entry, Neighbour
from agentinfra.cache.semantic.upkeep import upkeep
from agentinfra.errors import AgentInfraError, CacheError, ConfigurationError
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.protocols import Tables

__all__ = ["PostgresNeighbours"]

_log = get_logger("agentinfra.cache")

_WEEK = 604_800.0
_CANDIDATES = 100
"""Rows that are compared without what all have in common: what an index gives in a session."""

_FIRST_UPKEEP = 16
_UPKEEP_EVERY = 256
_MOST_COUNTED = 10_000

_NEAREST = """
WITH near AS MATERIALIZED (
    SELECT question, answer_group, embedding FROM {tables}.agentinfra_questions
    WHERE place = '{place}' AND expires_at > now()
    ORDER BY (embedding::{type}) OPERATOR({vector}.<=>) $1::real[]::{type}
    LIMIT {candidates}
), compared AS (
    SELECT question, answer_group, 1 - (
        (embedding::{vector}.vector OPERATOR({vector}.-) mean::{vector}.vector)
        OPERATOR({vector}.<=>)
        ($1::real[]::{vector}.vector OPERATOR({vector}.-) mean::{vector}.vector)
    ) AS similarity
    FROM near, {tables}.agentinfra_question_places WHERE place = '{place}'
)
SELECT question, answer_group, similarity FROM compared
WHERE similarity <> 'NaN' ORDER BY similarity DESC LIMIT $2
"""
"""The index knows bare vectors only, whose order is nearly that of centred ones. What has no
direction without the common part is similar to nothing: NaN."""

_ADD = """
WITH place AS (
    INSERT INTO {tables}.agentinfra_question_places (place, scope, partition, mean)
    VALUES ($1, $2, $3, array_fill(0::real, ARRAY[cardinality($7::real[])]))
    ON CONFLICT (place) DO NOTHING
)
INSERT INTO {tables}.agentinfra_questions
    (place, digest, question, answer_group, embedding, expires_at)
VALUES ($1, $4, $5, $6, $7, now() + make_interval(secs => $8))
ON CONFLICT (place, digest) DO UPDATE SET answer_group = excluded.answer_group,
    embedding = excluded.embedding, kept_at = now(), expires_at = excluded.expires_at
"""

_DROP = """
DELETE FROM {tables}.agentinfra_questions q USING {tables}.agentinfra_question_places p
WHERE q.place = p.place AND p.scope = $1 AND p.partition = $2 AND q.digest = $3
"""

_CLEAR = "DELETE FROM {tables}.agentinfra_question_places WHERE scope = $1"


class PostgresNeighbours:
    """Questions in tables of our own, for as many as PostgreSQL holds.

    A partition with a thousand entries gets an index of its own, so that others cost it nothing and
    never displace what is near. Similarities are those of centred vectors, as `MemoryNeighbours`
    says them. What is behind the callers (forgetting, centring, indexing) one process does at a
    time. For the tasks of one event loop; whoever enters it closes it.

    Args:
        database: Lends connections, and makes the tables; a function where it is made later.
        scope: Whose questions these are. Those of another scope are neither found nor cleared;
            processes that share their answers share one.
        max_entries: Entries of all scopes together at most; beyond it the oldest twentieth goes.
        lifetime: Seconds an entry is kept.
        timeout: Seconds a lookup or a change may take.

    Raises:
        ConfigurationError: A bound makes no sense.
    """

    def __init__(
        self,
        database: Tables | Callable[[], Tables],
        *,
        scope: str = "",
        max_entries: int = 200_000,
        lifetime: float = _WEEK,
        timeout: float = 1.0,
    ) -> None:
        for name, bound in (("max_entries", max_entries), ("lifetime", lifetime)):
            if not bound > 0:
                raise ConfigurationError(f"{name} is {bound!r}: give more than 0")
        self._given = database
        self._scope = _digest(scope).hex()[:32]
        self._max_entries = max_entries
        self._lifetime = lifetime
        self._timeout = timeout
        self._added: OrderedDict[str, int] = OrderedDict()
        self._due: dict[str, int] = {}
        self._behind: asyncio.Task[None] | None = None
        self.trouble = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what goes on behind the callers; the questions stay."""
        if self._behind is not None:
            await cancel_and_wait(self._behind)

    async def settled(self) -> None:
        """Wait for what goes on behind the callers."""
        if self._behind is not None:
            await asyncio.wait({self._behind})

    async def nearest(
        self, partition: str, vector: NDArray[np.float32], limit: int
    ) -> Sequence[Neighbour]:
        """Return the entries nearest to a vector of length 1, nearest first.

        Raises:
            CacheError: The database has no pgvector, or did not answer in time.
            DatabaseError: It is away, or refuses.
        """
        async with self._connection() as connection:
            server = self._database.server
            if not server.vector:
                raise CacheError("the database has no pgvector: have it installed there")
            sql = _NEAREST.format(
                tables=server.schema,
                vector=server.vector_type("")[:-1],
                type=_type(server, vector.size),
                place=self._place(partition, vector.size),
                candidates=max(_CANDIDATES, limit),
            )
            async with _searching(connection, pooled=server.pooled):
                rows = await connection.fetch(sql, vector.tolist(), limit)
        return [Neighbour(Entry.of(row[0], row[1]), float(row[2])) for row in rows]

    async def add(self, partition: str, entry: Entry, vector: NDArray[np.float32]) -> None:
        """Keep an entry; an older one of the same question goes.

        Raises:
            CacheError: The database did not answer in time.
            DatabaseError: It is away, or refuses.
        """
        if not _is_storable(entry.question):
            return
        place = self._place(partition, vector.size)
        async with self._connection() as connection:
            await connection.execute(
                _ADD.format(tables=self._database.server.schema),
                place,
                self._scope,
                partition,
                _digest(entry.question),
                entry.question,
                entry.group,
                vector.tolist(),
                self._lifetime,
            )
        self._count(place, vector.size)

    async def drop(self, partition: str, question: str) -> None:
        """Drop the entry of a question.

        Raises:
            CacheError: The database did not answer in time.
            DatabaseError: It is away, or refuses.
        """
        async with self._connection() as connection:
            sql = _DROP.format(tables=self._database.server.schema)
            await connection.execute(sql, self._scope, partition, _digest(question))

    async def clear(self) -> None:
        """Drop all entries of all partitions of this scope.

        Raises:
            CacheError: The database did not answer in time.
            DatabaseError: It is away, or refuses.
        """
        async with self._connection() as connection:
            sql = _CLEAR.format(tables=self._database.server.schema)
            await connection.execute(sql, self._scope)

    @property
    def _database(self) -> Tables:
        return self._given() if callable(self._given) else self._given

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(self._timeout):
                database = self._database
                if not database.server.layout.newest:
                    await database.migrate()
                async with database.connection(readonly=False, reset=False) as connection:
                    yield connection
        except TimeoutError:
            raise CacheError(
                f"the database did not answer about questions within {self._timeout:g} s"
            ) from None

    def _place(self, partition: str, dimensions: int) -> str:
        """Return where a partition's vectors of one length are: others cannot be compared."""
        return _digest(f"{self._scope} {dimensions} {partition}").hex()[:32]

    def _count(self, place: str, dimensions: int) -> None:
        """Count what this process has added; now and then, see to what has come of it."""
        added = self._added[place] = self._added.get(place, 0) + 1
        self._added.move_to_end(place)
        if len(self._added) > _MOST_COUNTED:
            self._added.popitem(last=False)
        # Often at first, while the mean still moves with every few entries.
        due = added % _UPKEEP_EVERY == 0 or (added >= _FIRST_UPKEEP and added & (added - 1) == 0)
        if due:
            self._due[place] = dimensions
            if self._behind is None:
                self._behind = asyncio.create_task(self._upkeep(), name="cache questions")

    async def _upkeep(self) -> None:
        try:
            while self._due:  # what became due meanwhile is not left to the next time
                place, dimensions = self._due.popitem()
                type_ = _type(self._database.server, dimensions)
                await upkeep(self._database, place, type_, max_entries=self._max_entries)
            self.trouble = ""
        except AgentInfraError as error:
            self.trouble = f"questions in the database are not kept in order: {error}"
            _log.warning("cache.questions_upkeep_failed", error=str(error))
        finally:
            self._behind = None


@asynccontextmanager
async def _searching(connection: Any, *, pooled: bool) -> AsyncIterator[None]:
    """Have the settings of a search, which every session of ours has but those of a pooler."""
    if not pooled:
        yield
        return
    async with connection.transaction(readonly=True):
        await connection.execute(
            f"SET LOCAL hnsw.ef_search = {_CANDIDATES}; SET LOCAL random_page_cost = 1.1"
        )
        yield


def _type(server: Any, dimensions: int) -> str:
    """Return the type vectors are compared as: an index holds 2,000 whole numbers at most."""
    name = "vector" if dimensions <= 2_000 else "halfvec"
    return f"{server.vector_type(name)}({dimensions})"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _is_storable(text: str) -> bool:
    """Say whether PostgreSQL takes a text; what it does not take is found by nobody."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
