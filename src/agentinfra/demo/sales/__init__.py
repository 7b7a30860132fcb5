"""The sales that the demo answers questions about."""

from __future__ import annotations

from agentinfra.demo.sales.database import (
    SalesDatabase,
    scoped,
    to_json,
)

__all__ = ["SalesDatabase", "scoped", "to_json"]
