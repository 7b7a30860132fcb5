"""The runtime: every resource of an async agent, entered once in each event loop."""

from agentinfra.runtime.owned import Owned
from agentinfra.runtime.runtime import InfraRuntime, get_checkpointer, get_llm_client

__all__ = ["InfraRuntime", "Owned", "get_checkpointer", "get_llm_client"]
