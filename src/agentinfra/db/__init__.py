"""PostgreSQL with pgvector: pools, reads that anybody may write, vectors, a server of our own."""

from __future__ import annotations
