"""What the semantic caches share: looking, learning from what was loaded, saying how it goes."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from agentinfra.cache.keys import cache_key
from agentinfra.cache.semantic.evidence import Audits, Evidence
from agentinfra.cache.semantic.guard import Facts
from agentinfra.cache.semantic.memory import MemoryNeighbours
from agentinfra.cache.semantic.neighbours import Entry
from agentinfra.cache.semantic.scoring import LOOKED_AT, Candidate, best_candidate
from agentinfra.cache.semantic.tally import SemanticTally
from agentinfra.errors import AgentInfraError, ConfigurationError
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.cache.semantic.neighbours import Neighbours
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Embedder

__all__ = ["Look", "SemanticOptions", "SemanticTier"]

_log = get_logger("agentinfra.cache")

_MOST_PARTITIONS = 1_000


class SemanticOptions(TypedDict, total=False):
    """What a semantic cache can be told.

    Attributes:
        enabled: False looks for nothing: what the exact cache does not have is loaded.
        max_false_hit: The share of hits that may be false, 0.01 where nothing is said.
        confidence: That of its bounds; 0.95 where nothing is said.
        audit_share: The share of hits that is loaded all the same; 0.02 where nothing is said.
        store: Where questions are kept; None for this process's memory, with 20,000 of them.
        model: The embedding model; None for the embedder's own.
        metrics: Where lookups are counted.
        chance: Gives numbers from 0 to 1, for choosing whom to audit.
    """

    enabled: bool
    max_false_hit: float
    confidence: float
    audit_share: float
    store: Neighbours | None
    model: str | None
    metrics: Metrics | None
    chance: Callable[[], float]


@dataclass(slots=True)
class Look:
    """What was seen before a question is loaded.

    Attributes:
        question: The question.
        partition: Where it belongs; empty where it could not be looked for.
        vector: Its vector.
        candidate: The answer its neighbours speak for.
        evidence: What the partition has learnt.
        audited: The entry whose answer would have been given, where its hit is audited.
    """

    question: str
    partition: str = ""
    vector: NDArray[np.float32] | None = None
    candidate: Candidate | None = None
    evidence: Evidence | None = None
    audited: Entry | None = None


class SemanticTier:
    """Looks for questions that are alike, and learns where their answers may be given.

    For the tasks of one event loop. It never raises because of its embedder or its store: without
    them, nothing is found.

    Args:
        name: The cache's name, in metrics and logs.
        embedder: Turns questions into vectors: a model client.
        options: See `SemanticOptions`.

    Raises:
        ConfigurationError: A share makes no sense.
    """

    def __init__(self, name: str, embedder: Embedder, options: SemanticOptions) -> None:
        self.name = name
        self._enabled = options.get("enabled", True)
        self._embedder = embedder
        self._allowed = options.get("max_false_hit", 0.01)
        self._confidence = options.get("confidence", 0.95)
        self._audit_share = options.get("audit_share", 0.02)
        for what, share in (
            ("max_false_hit", self._allowed),
            ("confidence", self._confidence),
            ("audit_share", self._audit_share),
        ):
            if not 0.0 < share < 1.0:
                raise ConfigurationError(f"{what} is {share!r}: give a share between 0 and 1")
        self._store = options.get("store") or MemoryNeighbours()
        self._model = options.get("model")
        self._chance = options.get("chance", random.random)
        self._evidence: OrderedDict[str, Evidence] = OrderedDict()
        self._failing = ""
        self.tally = SemanticTally(name)
        if (metrics := options.get("metrics")) is not None:
            self.tally.bind(metrics)

    async def look(self, within: bytes, question: str) -> Look:
        """Return what the neighbours of a question speak for, in its partition."""
        look = Look(question)
        if not self._enabled:
            return look
        try:
            batch = await self._embedder.get_embeddings([question], model=self._model)
            if batch.degraded:
                self.tally.count("error")
                self._failing = f"vectors are not a model's: {batch.degraded}"
                return look
            vector = batch.vectors[0]
            look.partition = cache_key(within, batch.model, len(vector))
            look.vector = vector
            neighbours = await self._store.nearest(look.partition, vector, LOOKED_AT)
        except Exception as error:  # noqa: BLE001 - a store of the user's may raise anything
            self._failed("look", error)
            return Look(question)
        self._failing = ""
        look.evidence = self._of(look.partition)
        found = best_candidate(Facts(question), neighbours)
        if isinstance(found, Candidate):
            look.candidate = found
        else:
            self.tally.count("alone" if found is None else "guarded")
        return look

    def may_serve(self, look: Look, entry: Entry) -> bool:
        """Say whether an entry's answer may be given."""
        if look.candidate is None or look.evidence is None:
            return False
        return look.evidence.serves(look.candidate.score, entry.question)

    def audits(self) -> bool:
        """Say by chance whether a hit is loaded all the same."""
        return self._chance() < self._audit_share

    def label(self, look: Look, entry: Entry, *, right: bool) -> None:
        """Take what a load has shown: whether an entry's answer was, or would have been, right."""
        candidate, evidence = look.candidate, look.evidence
        if candidate is None or evidence is None:
            return
        if look.audited is None:
            evidence.learn(candidate.score, entry.question, right=right)
            return
        off = evidence.audit(candidate.score, entry.question, right=right)
        self.tally.audited(right=right)
        self.tally.rate(self.audited())
        if off:
            self.tally.count("switched_off")
            _log.warning(
                "cache.semantic_off",
                cache=self.name,
                audited=evidence.audited,
                false=evidence.false,
                allowed=self._allowed,
            )

    async def keep(self, look: Look, group: str) -> None:
        """Remember a question whose answer the exact cache has now."""
        if look.vector is None:
            return
        try:
            await self._store.add(look.partition, Entry.of(look.question, group), look.vector)
        except Exception as error:  # noqa: BLE001 - a store of the user's may raise anything
            self._failed("keep", error)

    async def drop(self, look: Look, entry: Entry) -> None:
        """Forget a question whose answer the exact cache has no more."""
        if look.evidence is not None:
            look.evidence.forget(entry.question)
        try:
            await self._store.drop(look.partition, entry.question)
        except Exception as error:  # noqa: BLE001 - a store of the user's may raise anything
            self._failed("drop", error)

    async def clear(self) -> None:
        """Forget all questions; what was learnt about mistakes stays."""
        try:
            await self._store.clear()
        except Exception as error:  # noqa: BLE001 - a store of the user's may raise anything
            self._failed("clear", error)

    def audited(self) -> Audits:
        """Return the share of false hits that audits have found, over all partitions."""
        return Audits.of(self.tally.counts["audited"], self.tally.counts["false"], self._confidence)

    @property
    def off(self) -> int:
        """How many partitions have switched themselves off and have not learnt anew."""
        return sum(evidence.off for evidence in self._evidence.values())

    @property
    def failing(self) -> str:
        """Why the last question could not be looked for; empty where it could."""
        return self._failing or str(getattr(self._store, "trouble", ""))

    def _of(self, partition: str) -> Evidence:
        evidence = self._evidence.get(partition)
        if evidence is None:
            evidence = self._evidence[partition] = Evidence(self._allowed, self._confidence)
            if len(self._evidence) > _MOST_PARTITIONS:
                self._evidence.popitem(last=False)
        else:
            self._evidence.move_to_end(partition)
        return evidence

    def _failed(self, what: str, error: Exception) -> None:
        self.tally.count("error")
        said = str(error) if isinstance(error, AgentInfraError) else type(error).__name__
        if what == "look":
            self._failing = said
        _log.debug("cache.semantic_failed", cache=self.name, what=what, error=said)
