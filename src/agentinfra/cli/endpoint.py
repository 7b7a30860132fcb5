"""Asks a model endpoint whether it is there and takes the key, without a call that costs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from agentinfra.results import ResourceHealth
    from agentinfra.settings import LLMSettings

__all__ = ["ask_endpoint"]

_OPENAI = "https://api.openai.com/v1"
_PATIENCE = 5.0
_REFUSED = (401, 403)


async def ask_endpoint(settings: LLMSettings, row: ResourceHealth) -> ResourceHealth:
    """Ask an endpoint for its models, and return the health row with what came of it.

    A server that has no such list (404) is there all the same.

    Args:
        settings: The endpoint.
        row: What is known of it.
    """
    began = time.perf_counter()
    from agentinfra.settings.url import HttpUrl

    address = settings.base_url or HttpUrl(_OPENAI)
    url, asked = (f"{each.rstrip('/')}/models" for each in (address, address.without_login))
    if settings.api_version:
        asked += f"?api-version={quote(settings.api_version)}"
    try:
        status = await asyncio.to_thread(_status, asked, _headers(settings))
    except OSError as error:  # URLError, and what reading raises
        said = " ".join(str(getattr(error, "reason", error)).split())
        return replace(row, state="failed", reason=f"{url} cannot be reached: {said}")
    latency = time.perf_counter() - began
    if status in _REFUSED:
        reason = f"{url} refuses the key (HTTP {status})"
        return replace(row, state="failed", reason=reason, latency=latency)
    if status >= 500:
        reason = f"{url} answers with HTTP {status}"
        return replace(row, state="failed", reason=reason, latency=latency)
    return replace(row, latency=latency)


def _status(url: str, headers: dict[str, str]) -> int:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        # Settings let nothing but http and https through.
        with urlopen(Request(url, headers=headers), timeout=_PATIENCE) as response:  # noqa: S310
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code


def _headers(settings: LLMSettings) -> dict[str, str]:
    if settings.base_url is not None and settings.base_url.authorization:
        return {"Authorization": settings.base_url.authorization}
    if settings.api_key is None:
        return {}
    key = settings.api_key.get_secret_value()
    if settings.api_version is not None:
        return {"api-key": key}
    headers = {"Authorization": f"Bearer {key}"}
    if settings.organization:
        headers["OpenAI-Organization"] = settings.organization
    if settings.project:
        headers["OpenAI-Project"] = settings.project
    return headers
