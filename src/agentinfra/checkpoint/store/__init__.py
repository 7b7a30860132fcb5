"""The long-term store: what agents remember beyond one conversation."""

from __future__ import annotations

from agentinfra.checkpoint.store.long_term import LongTerm

__all__ = ["LongTerm"]
