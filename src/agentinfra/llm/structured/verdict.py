"""What a reply is, before anything is done with it: the decision table of structured output.

| the reply | is |
|---|---|
| has a refusal | REFUSED |
| says that a filter stopped it | FILTERED |
| says that it reached its limit of tokens | CUT_OFF |
| says that the endpoint failed | FAILED |
| calls tools | CALLED |
| has a text | SAID |
| has nothing | SILENT |

The first row that is true counts. The first four are errors at once and never a value, whatever
is in them; what is called or said is looked at for values that fit.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from agentinfra.errors import (
    LLMError,
    LLMResponseError,
    OutputCutOffError,
    OutputFilteredError,
    OutputRefusedError,
)

if TYPE_CHECKING:
    from agentinfra.results import LLMResponse

__all__ = ["Verdict", "ended", "output_of", "verdict_of"]

_LIMIT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
_FILTER: Final = frozenset(
    {
        "content_filter",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "sensitive",
        "guardrail_intervened",
    }
)
_FAILURE: Final = frozenset({"error", "failed", "cancelled", "insufficient_system_resource"})


class Verdict(Enum):
    """What a reply is."""

    REFUSED = "refused"
    FILTERED = "filtered"
    CUT_OFF = "cut off"
    FAILED = "failed"
    CALLED = "called"
    SAID = "said"
    SILENT = "silent"


def verdict_of(reply: LLMResponse) -> Verdict:
    """Return what a reply is."""
    reason = (reply.finish_reason or "").lower()
    if reply.refusal:
        return Verdict.REFUSED
    if reason in _FILTER:
        return Verdict.FILTERED
    if reason in _LIMIT:
        return Verdict.CUT_OFF
    if reason in _FAILURE:
        return Verdict.FAILED
    if reply.tool_calls:
        return Verdict.CALLED
    return Verdict.SAID if reply.text.strip() else Verdict.SILENT


def ended(verdict: Verdict, reply: LLMResponse) -> LLMError | None:
    """Return the error of a reply that can be no value; None where it may be one."""
    text = output_of(reply)
    if verdict is Verdict.REFUSED:
        said = reply.refusal or text
        return OutputRefusedError(
            f"the model would not answer: {said[:300]}", text=said, errors=("refused",), reply=reply
        )
    if verdict is Verdict.FILTERED:
        return OutputFilteredError(
            f"the endpoint's content filter stopped the answer ({reply.finish_reason}) after "
            f"{len(text)} characters",
            text=text,
            errors=("stopped by a content filter",),
            reply=reply,
        )
    if verdict is Verdict.CUT_OFF:
        return OutputCutOffError(
            f"the answer was cut off after {len(text)} characters: raise max_tokens, or ask for "
            "less",
            text=text,
            errors=("cut off at the limit of tokens",),
            reply=reply,
        )
    if verdict is Verdict.FAILED:
        return LLMResponseError(
            f"the endpoint broke off its answer ({reply.finish_reason})", body=text[:500]
        )
    return None


def output_of(reply: LLMResponse) -> str:
    """Return what a model wrote: the arguments of its calls, else its text."""
    return "\n".join(call.arguments for call in reply.tool_calls) or reply.text
