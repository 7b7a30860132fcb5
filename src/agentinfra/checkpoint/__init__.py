"""Conversations of LangGraph graphs, kept on PostgreSQL."""

from __future__ import annotations

from agentinfra.checkpoint.checkpointer import Checkpointer
from agentinfra.checkpoint.retention.policies import Policy, PruneResult

__all__ = ["Checkpointer", "Policy", "PruneResult"]
