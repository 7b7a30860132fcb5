"""Answers to questions that mean the same, where it is known how often they are wrong."""

from __future__ import annotations

from agentinfra.cache.semantic.answer import Pair, SemanticAnswer, SemanticHit
from agentinfra.cache.semantic.caches import SemanticResponses, SemanticRouting
from agentinfra.cache.semantic.evidence import Audits
from agentinfra.cache.semantic.judging import Judge
from agentinfra.cache.semantic.memory import MemoryNeighbours
from agentinfra.cache.semantic.neighbours import Entry, Neighbour, Neighbours
from agentinfra.cache.semantic.postgres import PostgresNeighbours
from agentinfra.cache.semantic.tier import SemanticOptions

__all__ = [
    "Audits",
    "Entry",
    "Judge",
    "MemoryNeighbours",
    "Neighbour",
    "Neighbours",
    "Pair",
    "PostgresNeighbours",
    "SemanticAnswer",
    "SemanticHit",
    "SemanticOptions",
    "SemanticResponses",
    "SemanticRouting",
]
