"""The routing and the response cache, asked by meaning where the very question is unknown."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.cache.given import begin
from agentinfra.cache.keys import encode_context, encode_parts
from agentinfra.cache.semantic.answer import Pair, SemanticAnswer, SemanticHit
from agentinfra.cache.semantic.judging import Judge, Judging
from agentinfra.cache.semantic.tier import SemanticOptions, SemanticTier
from agentinfra.cache.tiered import MISSING
from agentinfra.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from agentinfra._mechanics.clock import Clock
    from agentinfra.cache.kinds import ResponseCache, RoutingCache
    from agentinfra.cache.semantic.evidence import Audits
    from agentinfra.cache.semantic.neighbours import Entry
    from agentinfra.cache.semantic.tier import Look
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Embedder

__all__ = ["SemanticResponses", "SemanticRouting"]

T = TypeVar("T")


class _Semantic:
    """What both have: the exact cache first, then the neighbours, then the loader."""

    def __init__(self, tier: SemanticTier) -> None:
        self._tier = tier

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
        """End what goes on behind the callers; the exact cache stays as it is."""

    async def clear(self) -> None:
        """Forget all questions here; the exact cache stays as it is."""
        await self._tier.clear()

    @property
    def audits(self) -> Audits:
        """What audits have found: the share of hits that were false, with its interval."""
        return self._tier.audited()

    @property
    def counts(self) -> dict[str, int]:
        """How lookups ended, by outcome."""
        return {str(outcome): number for outcome, number in self._tier.tally.counts.items()}

    @property
    def trouble(self) -> str:
        """What is wrong, empty where nothing is.

        Questions that cannot be looked for, and partitions that have switched themselves off.
        """
        said = []
        if failing := self._tier.failing:
            said.append(f"semantic {self._tier.name}: {failing}")
        if off := self._tier.off:
            found = self.audits
            said.append(
                f"{off} partition{'s' * (off > 1)} of semantic {self._tier.name} switched off: "
                f"{found.false} of {found.audited} audited hits were false"
            )
        return "; ".join(said)

    def bind(self, metrics: Metrics) -> None:
        """Count into these metrics, which have been opened, from now on."""
        self._tier.tally.bind(metrics)

    def describe(self) -> str:
        """Return how it goes in a few words, for a row of health."""
        found, hits = self.audits, self._tier.tally.counts["hit"]
        said = f"semantic {self._tier.name}: {hits} hits"
        if found.audited:
            said += (
                f", {found.rate:.2%} false ({found.low:.2%} to {found.high:.2%}, "
                f"{found.audited} audited)"
            )
        return said

    async def _ask(
        self,
        within: bytes,
        question: str,
        get: Callable[[str], Awaitable[Any]],
        compute: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]],
        loader: Callable[[], Awaitable[T]],
    ) -> SemanticAnswer[T]:
        if await get(question) is not MISSING:
            # Asked a second time, so that what is about to expire is computed anew behind.
            return SemanticAnswer(value=await compute(loader), source="exact")
        look = await self._tier.look(within, question)
        served = await self._serve(look, get)
        if served is not None:
            return served

        async def load() -> T:
            value = await begin(loader)
            await self._loaded(look, value, get)
            return value

        return SemanticAnswer(value=await compute(load), source="computed")

    async def _serve(
        self, look: Look, get: Callable[[str], Awaitable[Any]]
    ) -> SemanticAnswer[Any] | None:
        """Return a known answer where one may be given, and is not to be audited."""
        candidate = look.candidate
        if candidate is None:
            return None
        for known in candidate.known:
            if not self._tier.may_serve(look, known.entry):
                continue
            # Out of the exact cache each time: what was deleted, or is too old, is not served.
            value = await get(known.entry.question)
            if value is MISSING:
                await self._tier.drop(look, known.entry)
            elif self._tier.audits():
                look.audited = known.entry
                return None
            else:
                self._tier.tally.count("hit")
                hit = SemanticHit(
                    question=known.entry.question,
                    similarity=known.similarity,
                    score=candidate.score,
                )
                return SemanticAnswer(value=value, source="semantic", hit=hit)
        self._tier.tally.count("unproven")
        return None

    async def _loaded(
        self, look: Look, value: object, get: Callable[[str], Awaitable[Any]]
    ) -> None:
        raise NotImplementedError


class SemanticRouting(_Semantic):
    """A routing cache that gives the decision of a question that means the same.

    It does so only where its own labels say that few enough such decisions are wrong: every
    loaded decision is compared with the one that would have been given. Until it has seen some
    hundred, it gives none. The exact cache in front keeps the decisions, and belongs to its maker:
    what is deleted there, or has expired, is given by nobody.

    Args:
        cache: The exact cache.
        embedder: Turns questions into vectors: a model client.
        same: What of two decisions has to be equal for them to be the same, where not all has.
        options: See `SemanticOptions`.

    Raises:
        ConfigurationError: A share makes no sense.
    """

    def __init__(
        self,
        cache: RoutingCache,
        embedder: Embedder,
        *,
        same: Callable[[Any], object] | None = None,
        **options: Unpack[SemanticOptions],
    ) -> None:
        super().__init__(SemanticTier(cache.kind, embedder, options))
        self._cache = cache
        self._same = same

    async def get_or_compute(
        self, query: str, loader: Callable[[], Awaitable[T]], *, ttl: float | None = None
    ) -> SemanticAnswer[T]:
        """Return the decision about a query: its own, one of the same meaning, or a loaded one.

        Args:
            query: The query.
            loader: Called where no decision may be given; see `RoutingCache.get_or_compute`.
            ttl: Seconds a loaded decision is fresh; None for the cache's own.

        Raises:
            CacheError: As `RoutingCache.get_or_compute` does, as the other errors.
        """
        return await self._ask(
            self._cache.identity,
            query,
            partial(self._cache.get, default=MISSING),
            lambda load: self._cache.get_or_compute(query, load, ttl=ttl),
            loader,
        )

    async def _loaded(
        self, look: Look, value: object, get: Callable[[str], Awaitable[Any]]
    ) -> None:
        del get
        try:
            decided = value if self._same is None else self._same(value)
            group = encode_context(decided).hex()
        except CacheError:  # nothing to compare: such decisions are not given to others
            self._tier.tally.count("unjudged")
            return
        candidate = look.candidate
        if candidate is not None:
            entry = look.audited or candidate.known[0].entry
            self._tier.label(look, entry, right=entry.group == group)
        await self._tier.keep(look, group)


class SemanticResponses(_Semantic):
    """A response cache that gives the answer to a question that means the same.

    It does so only where a judge's labels say that few enough such answers are wrong; without a
    judge it gives none. Questions are compared within one agent, context, model and set of
    parameters only. See `SemanticRouting` for the rest.

    Args:
        cache: The exact cache.
        embedder: Turns questions into vectors: a model client.
        judge: Says whether a known answer would have done for a question; asked behind the
            caller, when a question was loaded. None until `judged_by`.
        judgements_per_hour: How often it is asked at most; a fifth is kept for audits.
        clock: Where time comes from.
        options: See `SemanticOptions`.

    Raises:
        ConfigurationError: A share makes no sense.
    """

    def __init__(
        self,
        cache: ResponseCache,
        embedder: Embedder,
        *,
        judge: Judge | None = None,
        judgements_per_hour: int = 1_000,
        clock: Clock | None = None,
        **options: Unpack[SemanticOptions],
    ) -> None:
        super().__init__(SemanticTier(cache.kind, embedder, options))
        self._cache = cache
        self._judging = Judging(judge, judgements_per_hour, clock)
        self._behind: set[asyncio.Task[None]] = set()

    def judged_by(self, judge: Judge, *, per_hour: int = 1_000) -> None:
        """Have loaded answers judged, so often at most."""
        self._judging.use(judge, per_hour)

    async def get_or_compute(
        self,
        query: str,
        agent: str,
        loader: Callable[[], Awaitable[T]],
        context: Any = None,
        *,
        model: str | None = None,
        parameters: Any = None,
        ttl: float | None = None,
    ) -> SemanticAnswer[T]:
        """Return the answer to a query: its own, one of the same meaning, or a loaded one.

        Args:
            query: The query.
            agent: Whose answer it is.
            loader: Called where no answer may be given; see `RoutingCache.get_or_compute`.
            context: What the answer depends on beside the query.
            model: The model that answers.
            parameters: Its parameters.
            ttl: Seconds a loaded answer is fresh; None for the cache's own.

        Raises:
            CacheError: The context or the parameters have no canonical form, or as
                `RoutingCache.get_or_compute` does, as the other errors.
        """
        if model is not None or parameters is not None:
            # A part of the exact key too: another model's answer is another answer.
            context = (context, model, parameters)
        return await self._ask(
            self._cache.identity + encode_parts(agent, encode_context(context)),
            query,
            lambda question: self._cache.get(question, agent, context, MISSING),
            lambda load: self._cache.get_or_compute(query, agent, load, context, ttl=ttl),
            loader,
        )

    async def aclose(self) -> None:
        """End the judgements under way."""
        await cancel_and_wait(*self._behind)

    async def settled(self) -> None:
        """Wait for the judgements under way."""
        while self._behind:
            await asyncio.wait(set(self._behind))

    async def _loaded(
        self, look: Look, value: object, get: Callable[[str], Awaitable[Any]]
    ) -> None:
        candidate = look.candidate
        if candidate is None:
            await self._tier.keep(look, uuid.uuid4().hex)
            return
        entry = look.audited or candidate.known[0].entry
        if not self._judging.may_ask(audit=look.audited is not None):
            self._tier.tally.count("unjudged")
            await self._tier.keep(look, uuid.uuid4().hex)
            return
        # Behind the caller, who has its answer: a judge may take as long as a model does.
        judged = asyncio.create_task(
            self._judge(look, entry, value, get), name="cache judge response"
        )
        self._behind.add(judged)
        judged.add_done_callback(self._behind.discard)

    async def _judge(
        self, look: Look, entry: Entry, value: object, get: Callable[[str], Awaitable[Any]]
    ) -> None:
        group = uuid.uuid4().hex
        known = await get(entry.question)
        right = None
        if known is not MISSING:
            right = await self._judging.ask(
                Pair(
                    question=look.question,
                    answer=value,
                    known_question=entry.question,
                    known_answer=known,
                )
            )
        if right is None:
            self._tier.tally.count("unjudged")
        else:
            self._tier.label(look, entry, right=right)
            group = entry.group if right else group
        await self._tier.keep(look, group)
