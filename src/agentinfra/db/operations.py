"""The words operations are named by in spans and metrics."""

from __future__ import annotations

import re

__all__ = ["operation_of"]

_FIRST_WORD = re.compile(
    r"\s*(SELECT|WITH|VALUES|TABLE|SHOW|EXPLAIN|INSERT|UPDATE|DELETE|MERGE|COPY|CREATE|ALTER|DROP"
    r"|TRUNCATE|SET|CALL|DO|VACUUM|ANALYZE|REFRESH|REINDEX|GRANT|REVOKE|COMMENT)\b",
    re.IGNORECASE,
)


def operation_of(sql: str) -> str:
    """Return the first word of a statement; ``OTHER`` for odd ones, for labels must stay few."""
    word = _FIRST_WORD.match(sql)
    return word[1].upper() if word else "OTHER"
