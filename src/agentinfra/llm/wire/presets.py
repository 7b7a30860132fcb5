"""What is known of servers by their address; a field of the settings overrides it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["preset_names", "preset_of"]

_BY_NAME: Mapping[str, Mapping[str, Any]] = {
    "openai": {"official": True, "provider": "openai"},
    "azure": {"official": True, "provider": "azure.ai.openai", "auth": "api-key"},
    "openrouter": {"provider": "openrouter", "api": "chat", "embedding_encoding": "float"},
    "mistral": {
        "provider": "mistral_ai",
        "api": "chat",
        "stream_options": False,
        "token_limit": "max_tokens",
        "embedding_encoding": "float",
        "embedding_tokens": 16_000,
    },
    "gemini": {
        "provider": "gcp.gemini",
        "api": "chat",
        "token_limit": "max_tokens",
        "embedding_inputs": 100,
        "embedding_encoding": "float",
    },
    "anthropic": {"provider": "anthropic", "api": "chat", "token_limit": "max_tokens"},
    "deepseek": {"provider": "deepseek", "api": "chat", "token_limit": "max_tokens"},
    "xai": {"provider": "x_ai"},
    "groq": {"provider": "groq"},
    "cohere": {
        "provider": "cohere",
        "api": "chat",
        "token_limit": "max_tokens",
        "embedding_inputs": 96,
        "embedding_encoding": "float",
    },
    "dashscope": {"provider": "dashscope", "embedding_inputs": 10, "embedding_encoding": "float"},
    "perplexity": {"provider": "perplexity", "api": "chat", "token_limit": "max_tokens"},
}

_BY_HOST: tuple[tuple[str, str], ...] = (
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    ("openrouter.ai", "openrouter"),
    (".mistral.ai", "mistral"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("api.anthropic.com", "anthropic"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "xai"),
    ("api.groq.com", "groq"),
    (".cohere.com", "cohere"),
    (".cohere.ai", "cohere"),
    (".aliyuncs.com", "dashscope"),
    ("api.perplexity.ai", "perplexity"),
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def preset_of(host: str, name: str | None) -> Mapping[str, Any]:
    """Return what is known of a server.

    Args:
        host: Its host.
        name: Whose it is, where the host does not tell.
    """
    if name is not None:
        return _BY_NAME.get(name, _NOTHING)
    for end, known in _BY_HOST:
        if host == end or host.endswith(end if end[0] == "." else f".{end}"):
            return _BY_NAME[known]
    return _NOTHING


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets."""
    return tuple(_BY_NAME)
