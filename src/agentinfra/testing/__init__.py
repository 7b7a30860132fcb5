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
    from agentinfra.testing.clock import ManualClock
    from agentinfra.testing.leaks import LeakCheck, assert_no_leaks
    from agentinfra.testing.ledger import Ledger, RequestRecord
    from agentinfra.testing.replies import FunctionCall, RawReply, Reply
    from agentinfra.testing.scripts.verdict import ScriptError, ScriptWarning
    from agentinfra.testing.server.ratelimit import RateLimits
    from agentinfra.testing.server.server import OpenAIServer
    from agentinfra.testing.server.serving import serve

__all__ = [
    "FunctionCall",
    "LeakCheck",
    "Ledger",
    "ManualClock",
    "OpenAIServer",
    "RateLimits",
    "RawReply",
    "Reply",
    "RequestRecord",
    "ScriptError",
    "ScriptWarning",
    "assert_no_leaks",
    "faults",
    "serve",
]

_MODULES = {
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
