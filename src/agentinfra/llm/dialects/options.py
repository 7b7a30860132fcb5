"""What a caller says beside the messages, checked before any dialect has put it into its words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from agentinfra.errors import ConfigurationError

__all__ = ["checked_headers", "checked_options", "extra"]

_OF_CLIENTS = {
    "api_base": "base_url",
    "api_key": "api_key",
    "api_version": "api_version",
    "base_url": "base_url",
    "default_headers": "extra_headers",
    "max_retries": "max_attempts",
    "num_retries": "max_attempts",
    "organization": "organization",
}
"""What other clients take with a call, and the field of ``Settings.llm`` it is here. In the body
of a request it would be ignored at best, and a key be shown to whoever logs bodies."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""The name of a header (RFC 9110, 5.6.2)."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say something: those that are None are left out.

    Raises:
        ConfigurationError: One belongs to the client, or is a number that JSON does not have.
    """
    given = {}
    for name, value in options.items():
        if value is None:
            continue
        if name in _OF_CLIENTS:
            raise ConfigurationError(
                f"{name} is no parameter of a call: set Settings.llm.{_OF_CLIENTS[name]}"
            )
        if type(value) is float and not math.isfinite(value):
            raise ConfigurationError(f"{name} is {value}: JSON has no such number")
        given[name] = value
    return given


def extra(options: dict[str, Any], name: str) -> Mapping[str, Any]:
    """Take an option out that is a mapping.

    Raises:
        ConfigurationError: It is none.
    """
    value = options.pop(name)
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} is {type(value).__name__}: give a mapping")
    return value


def checked_headers(headers: Mapping[Any, Any]) -> Mapping[str, str]:
    """Return headers that can be sent.

    Raises:
        ConfigurationError: One cannot. Its value is not repeated: it may be a secret.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError(f"extra_headers: {name!r} is no name of a header")
        if not isinstance(value, str):
            raise ConfigurationError(
                f"extra_headers: {name} is {type(value).__name__}: give its text"
            )
        if _CONTROL.search(value):
            raise ConfigurationError(
                f"extra_headers: {name} holds a line break or another control character"
            )
    return headers
