"""The guard: SQL that nobody has read is judged by its parse tree before it is sent."""

from __future__ import annotations

from agentinfra.db.guard.judging import (
    READABLE_FUNCTIONS_SQL,
    GuardVerdict,
    Refusal,
    check_readonly,
    judge,
    load_parser,
)

__all__ = [
    "READABLE_FUNCTIONS_SQL",
    "GuardVerdict",
    "Refusal",
    "check_readonly",
    "judge",
    "load_parser",
]
