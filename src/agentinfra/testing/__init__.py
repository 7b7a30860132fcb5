"""Test doubles and checks for programs built on agentinfra, the ones its own tests use.

``OpenAIServer`` answers real HTTP requests as OpenAI does, fails on demand (``faults``) and keeps
a ledger of what it saw. ``assert_no_leaks`` finds what a block leaves behind. ``ManualClock``
holds time still.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentinfra.testing import faults
    from agentinfra.testing.capturing import Captured, capture
    from agentinfra.testing.clock import ManualClock
    from agentinfra.testing.leaks import LeakCheck, assert_no_leaks
    from agentinfra.testing.ledger import Ledger, RequestRecord
    from agentinfra.testing.network import NetworkRefusedError, no_network
    from agentinfra.testing.recording import replay
    from agentinfra.testing.replies import FunctionCall, RawReply, Reply
    from agentinfra.testing.resilience import Resilience, assert_resilient
    from agentinfra.testing.scripts.verdict import ScriptError, ScriptWarning
    from agentinfra.testing.secrets import assert_no_secrets
    from agentinfra.testing.server.ratelimit import RateLimits
    from agentinfra.testing.server.server import OpenAIServer
    from agentinfra.testing.server.serving import serve

__all__ = [
    "Captured",
    "FunctionCall",
    "LeakCheck",
    "Ledger",
    "ManualClock",
    "NetworkRefusedError",
    "OpenAIServer",
    "RateLimits",
    "RawReply",
    "Reply",
    "RequestRecord",
    "Resilience",
    "ScriptError",
    "ScriptWarning",
    "assert_no_leaks",
    "assert_no_secrets",
    "assert_resilient",
    "capture",
    "faults",
    "no_network",
    "replay",
    "serve",
]

_MODULES = {
    "replay": "recording",
    "assert_resilient": "resilience",
    "Resilience": "resilience",
    "assert_no_secrets": "secrets",
    "no_network": "network",
    "capture": "capturing",
    "NetworkRefusedError": "network",
    "Captured": "capturing",
    "FunctionCall": "replies",
    "LeakCheck": "leaks",
    "Ledger": "ledger",
    "ManualClock": "clock",
    "OpenAIServer": "server.server",
    "RateLimits": "server.ratelimit",
    "RawReply": "replies",
    "Reply": "replies",
    "RequestRecord": "ledger",
    "ScriptError": "scripts.verdict",
    "ScriptWarning": "scripts.verdict",
    "assert_no_leaks": "leaks",
    "serve": "server.serving",
}


def __getattr__(name: str) -> Any:
    if name == "faults":
        return importlib.import_module("agentinfra.testing.faults")
    if name in _MODULES:
        module = importlib.import_module(f"agentinfra.testing.{_MODULES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
