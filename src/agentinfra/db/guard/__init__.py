"""The guard: SQL that nobody has read is judged by its parse tree before it is sent."""

from __future__ import annotations

from agentinfra.db.guard.functions import FUNCTIONS_SQL, Function, functions_of, mark_of
from agentinfra.db.guard.judging import (
    GuardVerdict,
    check_readonly,
    examine,
    judge,
    load_parser,
)
from agentinfra.db.guard.touched import Refusal, Relation, Touched

__all__ = [
    "FUNCTIONS_SQL",
    "Function",
    "GuardVerdict",
    "Refusal",
    "Relation",
    "Touched",
    "check_readonly",
    "examine",
    "functions_of",
    "judge",
    "load_parser",
    "mark_of",
]
