"""How one endpoint is spoken to: what its profile says that changes a body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentinfra.errors import ConfigurationError
from agentinfra.llm.dialects.models import Known

__all__ = ["STATEFUL", "Speech", "drop", "without_refused"]

STATEFUL = frozenset(
    {
        "background",
        "context_management",
        "conversation",
        "instructions",
        "max_tool_calls",
        "previous_response_id",
    }
)
"""Parameters of the Responses API that no compatible server has taken for its chat."""

_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias")
_HARMLESS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What a dialect needs to know of an endpoint to write a body for it.

    Attributes:
        official: It is OpenAI's own or Azure's, whose models refuse what they do not know.
        token_limit: How Chat Completions names the limit of an answer; ``auto`` as the model
            wants it.
        stream_options: Whether streams are asked for their usage.
        extra_body: Fields put into every body.
        unsupported: What happens to a parameter that a model is known to refuse.
        tools_without_reasoning: Whether tools go with a reasoning effort of ``none``, which the
            endpoint has asked for.
        reasons: Whether the model has been seen to think, though its name does not tell.
    """

    official: bool = False
    token_limit: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"  # noqa: S105
    stream_options: bool = True
    extra_body: Mapping[str, Any] | None = None
    unsupported: Literal["refuse", "drop"] = "refuse"
    tools_without_reasoning: bool = False
    reasons: bool = False


def without_refused(
    payload: dict[str, Any], model: str, traits: Known, speech: Speech, *, effort: str | None
) -> None:
    """Take out of a body what the model is known to refuse.

    Args:
        payload: The body, changed in place.
        model: The model, for the error.
        traits: What is known of it.
        speech: The endpoint's.
        effort: The reasoning effort that is asked for.

    Raises:
        ConfigurationError: There is such a parameter, and it is not to be dropped.
    """
    if not (speech.official and traits.reasons) or effort == "none":
        return
    if not (traits.refuses_sampling or traits.chat_refuses_tools):
        return
    for name in _SAMPLING:
        if name in payload and payload[name] != _HARMLESS.get(name):
            drop(payload, name, model, speech, why="it chooses its words by itself")


def drop(payload: dict[str, Any], name: str, model: str, speech: Speech, *, why: str) -> None:
    """Take one parameter out of a body, or say that it is refused.

    Raises:
        ConfigurationError: It is not to be dropped.
    """
    if speech.unsupported == "refuse":
        raise ConfigurationError(
            f"{model} refuses {name}: {why}; leave it out, or say unsupported='drop' to have it "
            "left out"
        )
    del payload[name]
