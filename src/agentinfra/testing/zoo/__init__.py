"""Servers that speak OpenAI's language with manners of their own, one file each.

``OpenAIServer(like="azure")`` behaves as the server of that name: in what it refuses, and in its
fields, errors, headers and limits. Every manner stands in its animal's file with the public
source that tells of it.
"""

from __future__ import annotations

import importlib
from typing import cast

from agentinfra.errors import ConfigurationError
from agentinfra.testing.zoo.animal import Animal

__all__ = ["NAMES", "Animal", "animal"]

_FILES = {
    "openai": "animal:Animal",
    "azure": "azure:Azure",
    "deepseek": "deepseek:DeepSeek",
    "gemini": "gemini:Gemini",
    "gpt-5.6": "gpt56:Gpt56",
    "llama.cpp": "llama_cpp:LlamaCpp",
    "mistral": "mistral:Mistral",
    "ollama": "ollama:Ollama",
    "openrouter": "openrouter:OpenRouter",
    "vllm": "vllm:VLLM",
    "xai": "xai:XAI",
}
NAMES = tuple(_FILES)


def animal(name: str) -> Animal:
    """Return the animal of a name.

    Raises:
        ConfigurationError: There is none.
    """
    if name not in _FILES:
        raise ConfigurationError(f"like={name!r}: give one of {', '.join(NAMES)}")
    file, _, kind = _FILES[name].partition(":")
    module = importlib.import_module(f"agentinfra.testing.zoo.{file}")
    return cast("Animal", getattr(module, kind)())
