"""What must not be seen is taken out, wherever it would be shown."""

from __future__ import annotations

from agentinfra.observability.redaction.redactor import Redactor
from agentinfra.observability.redaction.walk import REDACTED, encodable, safe_text

__all__ = ["REDACTED", "Redactor", "encodable", "safe_text"]
