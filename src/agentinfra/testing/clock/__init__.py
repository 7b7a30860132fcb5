"""A clock that stands still until a test moves it, or moves by itself when all tasks wait."""

from agentinfra.testing.clock.manual import ManualClock

__all__ = ["ManualClock"]
