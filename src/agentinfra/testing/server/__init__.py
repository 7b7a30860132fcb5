"""The server: its thread, its sockets, its wire."""

from agentinfra.testing.server.server import OpenAIServer

__all__ = ["OpenAIServer"]
