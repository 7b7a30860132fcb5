"""What of a runtime keeps state, and who of it works on whose connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra.checkpoint.checkpointer import Checkpointer
from agentinfra.checkpoint.keeper import Keeper
from agentinfra.checkpoint.store.long_term import LongTerm
from agentinfra.db.database import Database
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.llm.money.budgets import Budgets
from agentinfra.runtime.plan import Plan, ServerAddress

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.checkpoint.cipher import Cipher
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Embedder
    from agentinfra.settings import Settings

__all__ = ["Stateful", "stateful"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stateful:
    """The parts that keep state.

    Attributes:
        server: A server of our own, where no address is given.
        db: The database.
        checkpoints: Conversations.
        long_term: What outlives them.
        keeper: Prunes and sweeps both.
        budgets: Accounts, whose ledger is in the database.
    """

    server: EmbeddedPostgres | None
    db: Database
    checkpoints: Checkpointer
    long_term: LongTerm
    keeper: Keeper
    budgets: Budgets

    def plan(self, plan: Plan, *, needs: set[str], embedder: str) -> None:
        """Say who needs whom: checkpoints and items go over the database's connections.

        Args:
            plan: Where to say it.
            needs: What all of them need.
            embedder: The name of what makes vectors.
        """
        server = set[str]()
        if self.server is not None:
            plan.add(self.server, needs=["tracing"])
            server.add(self.server.name)
        plan.add(self.db, needs=needs | server)
        plan.add(self.checkpoints, needs=needs | {self.db.name})
        plan.add(self.budgets, needs=needs | {self.db.name})
        plan.add(self.long_term, needs=needs | {self.db.name, embedder})


def stateful(
    s: Settings,
    *,
    metrics: Metrics,
    embedder: Embedder,
    allowed_types: Iterable[type],
    cipher: Cipher | None,
    accounts: Callable[[], None],
    clock: Clock,
) -> Stateful:
    """Make what keeps state; a server of our own is asked for its address while opening.

    Args:
        s: The runtime's settings.
        metrics: Where operations are counted.
        embedder: What turns texts into vectors.
        allowed_types: Your own types that the state of graphs may contain.
        cipher: What seals state, and the items of the store.
        accounts: Called when the first account is asked for.
        clock: Where time comes from.
    """
    server = _embedded_server(s)
    address = ServerAddress(server) if server is not None else None
    db = Database(s.database, url=address, metrics=metrics, embedder=embedder, clock=clock)
    lender = db if s.database.enabled else None
    checkpoints = Checkpointer(
        s.checkpointer,
        database=lender,
        allowed_types=allowed_types,
        cipher=cipher,
        metrics=metrics,
        clock=clock,
    )
    long_term = LongTerm(
        s.store.beside(s.checkpointer),
        database=lender,
        embedder=embedder,
        cipher=cipher,
        metrics=metrics,
        clock=clock,
    )
    keeper = Keeper(checkpoints, long_term, every=s.checkpointer.prune_every, clock=clock)
    budgets = Budgets(
        s.budgets,
        database=lender,
        configured=s.database.dsn is not None,
        metrics=metrics,
        asked=accounts,
        clock=clock,
    )
    return Stateful(
        server=server,
        db=db,
        checkpoints=checkpoints,
        long_term=long_term,
        keeper=keeper,
        budgets=budgets,
    )


def _embedded_server(s: Settings) -> EmbeddedPostgres | None:
    database = s.database
    if database.enabled and database.dsn is None and database.embedded:
        return EmbeddedPostgres(database.data_dir)
    return None
