"""What each endpoint takes, from the parameter types of the openai package."""

from __future__ import annotations

import functools
from typing import Any

from agentinfra.testing.validation.shapes import ListCheck, ObjectCheck, anything, check_of
from agentinfra.testing.validation.words import Mismatch

__all__ = ["check_parameters", "load"]


def load() -> None:
    """Import the types; a server does so before it listens, as it takes half a second."""
    for endpoint in ("chat", "responses", "embeddings"):
        _ = _check(endpoint).fields


def check_parameters(endpoint: str, body: Any) -> None:
    """Check a body against the types of its endpoint's parameters.

    Raises:
        RefusedError: OpenAI would answer 400.
    """
    try:
        _check(endpoint)(body)
    except Mismatch as wrong:
        raise wrong.refusal() from None


@functools.cache
def _check(endpoint: str) -> ObjectCheck:
    if endpoint == "chat":
        return _chat()
    if endpoint == "embeddings":
        from openai.types.embedding_create_params import EmbeddingCreateParams

        return ObjectCheck(EmbeddingCreateParams)
    if endpoint == "batches":
        from openai.types.batch_create_params import BatchCreateParams

        return ObjectCheck(BatchCreateParams)
    return _responses(counted=endpoint == "responses.input_tokens")


def _chat() -> ObjectCheck:
    from openai.types.chat import completion_create_params as given
    from openai.types.chat.chat_completion_assistant_message_param import (
        ChatCompletionAssistantMessageParam,
    )

    assistant = check_of(ChatCompletionAssistantMessageParam)
    if isinstance(assistant, ObjectCheck):
        # A message of an answer is sent back as it came, and may hold what it cites.
        assistant.fields["annotations"] = ListCheck(anything)
    return ObjectCheck(given.CompletionCreateParamsBase, extra={"stream": check_of(bool | None)})


def _responses(*, counted: bool) -> ObjectCheck:
    from openai.types.responses import response_create_params as given
    from openai.types.responses.function_tool_param import FunctionToolParam

    function = check_of(FunctionToolParam)
    if isinstance(function, ObjectCheck):
        # Required by the types, but the API has defaults for the others.
        function.required = frozenset({"type", "name"})
    if counted:
        from openai.types.responses.input_token_count_params import InputTokenCountParams

        return ObjectCheck(InputTokenCountParams)
    return ObjectCheck(given.ResponseCreateParamsBase, extra={"stream": check_of(bool | None)})
