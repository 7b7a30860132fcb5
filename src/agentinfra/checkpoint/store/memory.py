"""Items in memory: by choice, or until the database is there.

Importing this module imports langgraph.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langgraph.store.base import GetOp, Item, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from agentinfra.checkpoint.link import observed
from agentinfra.observability.semconv import SPAN_STORE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph.store.base import IndexConfig, Op, Result, TTLConfig

    from agentinfra._mechanics.clock import Clock
    from agentinfra.observability.metrics import Metrics

__all__ = ["Kept", "MemoryStore", "Place"]

_MINUTE = 60.0

Place: TypeAlias = tuple[tuple[str, ...], str]
"""Where an item is: its namespace and key."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An item in memory.

    Attributes:
        item: The item.
        end: When it has aged, in seconds since 1970; None for never.
        index: What of it is found by meaning, as it was said when it was stored.
    """

    item: Item
    end: float | None
    index: Literal[False] | list[str] | None

    @property
    def put(self) -> PutOp:
        """The operation that stores it for as long as is left."""
        ttl = None if self.end is None else max(0.0, self.end - time.time()) / _MINUTE
        item = self.item
        return PutOp(item.namespace, item.key, item.value, index=self.index, ttl=ttl)


class MemoryStore(InMemoryStore):
    """LangGraph's store in memory, whose items age, and which is seen like the other.

    Args:
        index: How texts become vectors; None for a store that is not searched by meaning.
        ttl: How items age.
        metrics: Where operations are counted.
        clock: Where time comes from.
    """

    supports_ttl = True

    def __init__(
        self,
        *,
        index: IndexConfig | None,
        ttl: TTLConfig,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        super().__init__(index=index)
        self.ttl_config = ttl
        self._metrics = metrics
        self._clock = clock
        self._ends: dict[Place, tuple[float, float]] = {}
        self._indexed: dict[Place, Literal[False] | list[str] | None] = {}

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations one after the other."""
        ops = self._aged(ops)
        with self._seen():
            results = super().batch(ops)
        self._refresh(ops, results)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations one after the other."""
        ops = self._aged(ops)
        with self._seen():
            results = await super().abatch(ops)
        self._refresh(ops, results)
        return results

    def sweep(self) -> int:
        """Drop what has aged; return how many items it was."""
        now = time.time()
        over = [place for place, (end, _) in self._ends.items() if end <= now]
        for namespace, key in over:
            self._forget(namespace, key)
        return len(over)

    def erase(self, prefix: tuple[str, ...]) -> int:
        """Drop all items of a namespace and of those in it; return how many it was."""
        places = [
            (namespace, key)
            for namespace, items in self._data.items()
            if namespace[: len(prefix)] == prefix
            for key in items
        ]
        for namespace, key in places:
            self._forget(namespace, key)
        return len(places)

    def kept(self) -> dict[Place, Kept]:
        """Return every item."""
        self.sweep()
        found = {}
        for namespace, items in self._data.items():
            for key, item in items.items():
                end = self._ends.get((namespace, key), (None,))[0]
                found[namespace, key] = Kept(item, end, self._indexed.get((namespace, key)))
        return found

    def _forget(self, namespace: tuple[str, ...], key: str) -> None:
        self._ends.pop((namespace, key), None)
        self._indexed.pop((namespace, key), None)
        self._data[namespace].pop(key, None)
        self._vectors[namespace].pop(key, None)
        if not self._data[namespace]:  # an empty one would still be listed
            del self._data[namespace]

    def _aged(self, ops: Iterable[Op]) -> list[Op]:
        self.sweep()
        return list(ops)

    def _refresh(self, ops: list[Op], results: list[Result]) -> None:
        now = time.time()
        for op, result in zip(ops, results, strict=True):
            if isinstance(op, PutOp):
                place = op.namespace, op.key
                self._ends.pop(place, None)
                self._indexed.pop(place, None)
                if op.value is not None and op.index is not None:
                    self._indexed[place] = op.index
                if op.value is not None and op.ttl is not None:
                    self._ends[place] = now + op.ttl * _MINUTE, op.ttl
            elif isinstance(op, GetOp | SearchOp) and op.refresh_ttl:
                found: Any = result if isinstance(result, list) else [result]
                for item in found:
                    if item is not None and (item.namespace, item.key) in self._ends:
                        _, ttl = self._ends[item.namespace, item.key]
                        self._ends[item.namespace, item.key] = now + ttl * _MINUTE, ttl

    def _insertinmem_store(
        self,
        to_embed: dict[str, list[tuple[tuple[str, ...], str, str]]],
        embeddings: list[list[float]],
    ) -> None:
        # The vendor's refuses a text that two items of one batch share.
        for places, vector in zip(to_embed.values(), embeddings, strict=True):
            for namespace, key, path in places:
                self._vectors[namespace][key][path] = vector

    def _seen(self) -> Any:
        return observed("batch", None, self._metrics, self._clock, kind=SPAN_STORE)
