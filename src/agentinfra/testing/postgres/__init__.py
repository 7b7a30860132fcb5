"""One PostgreSQL a test session and machine, and a database of its own for each test."""

from agentinfra.testing.postgres.server import PostgresServer
from agentinfra.testing.postgres.shared import shared_server

__all__ = ["PostgresServer", "shared_server"]
