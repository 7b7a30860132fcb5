"""OpenAI's reasoning models from GPT-5.4 on, over chat completions."""

from __future__ import annotations

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal

__all__ = ["Gpt56"]

_FIXED = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


class Gpt56(Animal):
    """A model that reasons, and does so with tools in the Responses API only."""

    name = "gpt-5.6"
    sources = (
        # Function tools are refused beside an effort, and the default is an effort.
        "https://github.com/openai/openai-openapi/issues/541",
        "https://github.com/BerriAI/litellm/issues/34569",
        "https://github.com/pipecat-ai/pipecat/issues/4043",
        # max_tokens, temperature and their like are refused by models that reason.
        "https://platform.openai.com/docs/guides/reasoning",
    )

    def admit(self, asked: Asked) -> None:
        """Refuse what a reasoning model does not take.

        Raises:
            RefusedError: Function tools with an effort, ``max_tokens``, a temperature.
        """
        body = asked.body
        if asked.endpoint not in ("chat", "responses"):
            return
        for name in _FIXED:
            if body.get(name) not in (None, 1 if name in ("temperature", "top_p") else 0):
                raise RefusedError(
                    f"Unsupported value: '{name}' does not support {body[name]} with this model. "
                    "Only the default (1) value is supported.",
                    param=name,
                    code="unsupported_value",
                )
        if asked.endpoint == "responses":
            return
        if body.get("max_tokens") is not None:
            raise RefusedError(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            )
        tools = [tool for tool in body.get("tools") or () if tool.get("type") == "function"]
        if tools and body.get("reasoning_effort") != "none":
            raise RefusedError(
                f"Function tools with reasoning_effort are not supported for {body['model']} in "
                "/v1/chat/completions. Please use /v1/responses instead.",
                param="reasoning_effort",
            )
