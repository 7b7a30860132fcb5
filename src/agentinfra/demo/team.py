"""The team: prepared once on a runtime, then asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, cast

from agentinfra._mechanics.vendors import preload
from agentinfra.demo.analytics import Analytics
from agentinfra.demo.answer import Answer
from agentinfra.demo.bookkeeping import prepare_state, reason_of
from agentinfra.demo.desk import Desk
from agentinfra.demo.graph import build_graph
from agentinfra.demo.knowledge import Knowledge
from agentinfra.demo.library import Library
from agentinfra.demo.memory import open_memory
from agentinfra.demo.router import Router
from agentinfra.demo.sales import SalesDatabase
from agentinfra.demo.state import State, asked
from agentinfra.errors import ConfigurationError, DatabaseError, LLMError
from agentinfra.observability import semconv
from agentinfra.observability.logging import bind_context
from agentinfra.observability.tracing import start_span

if TYPE_CHECKING:
    from agentinfra.demo.documents import Document
    from agentinfra.demo.progress import Progress
    from agentinfra.observability.tracing import FinishedSpan
    from agentinfra.runtime import InfraRuntime

__all__ = ["Team"]

_NAMED = 20
"""Documents that cannot be read and have a line of their own."""


class Team:
    """A router and two agents that share a runtime, which whoever entered it leaves.

    `gather` makes one. It is asked one question at a time.

    Args:
        rt: An entered runtime.
        library: The documents.
        sales: The sales database.
        durable: Whether the demo's own tables are there.
        origin: Who answers, for people too; what another origin answered is not remembered.
        caveat: In what every answer is less than a model's; empty where a model answers.

    Attributes:
        notices: In what it is less than it should be, one sentence each.
        described: What it answers with, for people.
    """

    def __init__(
        self,
        rt: InfraRuntime,
        library: Library,
        sales: SalesDatabase,
        *,
        durable: bool,
        origin: str,
        caveat: str = "",
    ) -> None:
        self._rt = rt
        self._caveat = caveat
        memory = open_memory(rt, durable=durable)
        self.notices = (*_skipped(library), *_notices(rt, library, sales))
        self.described = f"{origin}, {len(library)} documents, answers remembered in {memory.where}"
        self._graph = build_graph(
            Router(rt, memory.routing, library, edition=origin),
            Desk(
                rt,
                memory.response,
                editions={"analytics": origin, "knowledge": f"{origin}, {library.edition}"},
            ),
            Analytics(rt, sales, library),
            Knowledge(rt, library),
            checkpointer=rt.checkpointer,
        )

    @classmethod
    async def gather(
        cls,
        rt: InfraRuntime,
        documents: Sequence[Document],
        *,
        folder: str,
        origin: str,
        caveat: str = "",
        progress: Progress,
    ) -> Self:
        """Fill the sales database, embed the documents, and return the team.

        Without a database it comes about all the same: then documents are searched by their
        words, and questions about sales are not answered.

        Args:
            rt: An entered runtime.
            documents: What the knowledge agent answers from.
            folder: Where they are.
            origin: Who answers and embeds.
            caveat: In what every answer is less than a model's.
            progress: Shows how far it is.
        """
        progress.note("getting ready")
        await preload(["langgraph.graph"])
        library = Library(rt, documents, place=f"{folder} by {origin}")
        sales = SalesDatabase(rt.db)
        durable = False
        try:
            await prepare_state(rt.db)
            durable = True
            await sales.prepare()
        except (DatabaseError, ConfigurationError) as error:
            sales.unavailable = reason_of(error, rt.db)
        if durable:
            try:
                await library.prepare(progress)
            except (DatabaseError, LLMError) as error:
                library.unavailable = reason_of(error, rt.db)
        else:
            library.unavailable = sales.unavailable
        return cls(rt, library, sales, durable=durable, origin=origin, caveat=caveat)

    async def ask(
        self,
        question: str,
        *,
        thread_id: str,
        word: Callable[[str], None] = lambda _: None,
        step: Callable[[str], None] = lambda _: None,
    ) -> Answer:
        """Answer a question of a conversation.

        Args:
            question: The question.
            thread_id: The conversation; what was said in it before is known.
            word: Called with each piece of the answer as it comes.
            step: Called with the name of each node before it runs.

        Raises:
            AgentInfraError: The model or the checkpoints failed.
        """
        before = self._rt.caches.embedding.stats()
        with (
            bind_context(thread_id=thread_id),
            self._recorded() as spans,
            start_span("demo.question", {semconv.CONVERSATION_ID: thread_id}),
        ):
            state = await self._run(question, thread_id, word, step)
        after = self._rt.caches.embedding.stats()
        missed = "miss" if after.misses > before.misses else None
        embedding = "hit" if after.hits > before.hits else missed
        return Answer.of(
            state, tuple(spans), embedding=embedding, thread_id=thread_id, caveat=self._caveat
        )

    async def _run(
        self,
        question: str,
        thread_id: str,
        word: Callable[[str], None],
        step: Callable[[str], None],
    ) -> State:
        state: Any = asked(question)
        config: Any = {"configurable": {"thread_id": thread_id}}
        async for mode, part in self._graph.astream(
            state, config, stream_mode=["custom", "values"]
        ):
            if mode == "custom":
                word(part)
            else:
                state = part
                step(state["next"])
        return cast("State", state)

    @contextmanager
    def _recorded(self) -> Iterator[list[FinishedSpan]]:
        spans: list[FinishedSpan] = []
        unsubscribe = self._rt.tracing.subscribe(spans.append)
        try:
            yield spans
        finally:
            unsubscribe()


def _skipped(library: Library) -> Iterator[str]:
    for document in library.skipped[:_NAMED]:
        yield f"skipped {document}"
    if len(library.skipped) > _NAMED:
        yield f"skipped {len(library.skipped) - _NAMED} more files"


def _notices(rt: InfraRuntime, library: Library, sales: SalesDatabase) -> Iterator[str]:
    if rt.db.state != "ready":
        yield (
            f"the database is not available ({rt.db.reason}): questions about sales are not "
            "answered, documents are searched by their words, conversations end with this process"
        )
        return
    if sales.unavailable:
        yield f"questions about sales are not answered ({sales.unavailable})"
    if library.unavailable:
        yield f"documents are searched by their words ({library.unavailable})"
    if rt.checkpoints.state in ("degraded", "failed"):
        yield f"conversations end with this process ({rt.checkpoints.reason})"
