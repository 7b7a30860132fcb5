"""Budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agentinfra.settings.groups.group import BLANK_IS_NONE, Group

__all__ = ["BudgetsSettings"]


class BudgetsSettings(Group):
    """The accounts of `rt.budgets`.

    Attributes:
        backend: ``auto`` shares accounts in the database where there is one, and else keeps them in
            memory for this process alone; ``postgres`` and ``memory`` say which.
        lease_term: Seconds that what a process has leased is held for it without being renewed.
        timeout: Seconds a question to the ledger may take.
        journal_dir: Where the processes of a machine write down what they have used of their
            leases, so that a killed one's come back; None is a folder of the user's in the
            temporary one. In a container, put it on a volume that outlives it.
        warn_at: Shares of an account at which a warning is logged and counted.
        named_series: Accounts that have a name in the metrics; the others are ``other``.
    """

    backend: Literal["auto", "postgres", "memory"] = "auto"
    lease_term: float = Field(default=30.0, ge=1)
    timeout: float = Field(default=5.0, gt=0)
    journal_dir: Annotated[Path | None, BLANK_IS_NONE] = None
    warn_at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.8,)
    named_series: int = Field(default=100, ge=0)
