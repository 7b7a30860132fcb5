"""What of the past is kept, and what takes the rest away."""

from __future__ import annotations

from agentinfra.checkpoint.retention.policies import (
    Policy,
    PruneResult,
)

__all__ = ["Policy", "PruneResult"]
