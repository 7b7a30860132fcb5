"""From a path to an endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentinfra.testing.outcome import RefusedError

__all__ = ["route"]

_AZURE = re.compile(r"/openai/deployments/([^/]+)/(chat/completions|embeddings)")
_PATHS = {
    "/chat/completions": ("POST", "chat"),
    "/embeddings": ("POST", "embeddings"),
    "/models": ("GET", "models"),
    "/responses": ("POST", "responses"),
    "/responses/input_tokens": ("POST", "responses.input_tokens"),
    "/files": ("POST GET", "files"),
    "/batches": ("POST GET", "batches"),
}
_WITH_ID = (
    (re.compile(r"/models/(.+)"), "GET", "models.one"),
    (re.compile(r"/responses/([^/]+)"), "GET DELETE", "responses.one"),
    (re.compile(r"/responses/([^/]+)/cancel"), "POST", "responses.cancel"),
    (re.compile(r"/responses/([^/]+)/input_items"), "GET", "responses.input_items"),
    (re.compile(r"/files/([^/]+)"), "GET DELETE", "files.one"),
    (re.compile(r"/files/([^/]+)/content"), "GET", "files.content"),
    (re.compile(r"/batches/([^/]+)"), "GET", "batches.one"),
    (re.compile(r"/batches/([^/]+)/cancel"), "POST", "batches.cancel"),
)


def route(method: str, path: str, query: Mapping[str, str]) -> tuple[str, str]:
    """Return the endpoint a request is for, and the model or id its path names.

    Raises:
        RefusedError: There is no such path, or not for this method.
    """
    methods, endpoint, argument = _find(path, query)
    if not endpoint:
        hint = "" if path.startswith("/v1") else ": the base URL of this server ends with /v1"
        raise RefusedError(f"Invalid URL ({method} {path}){hint}", status=404, code="unknown_url")
    if method not in methods.split():
        raise RefusedError(
            f"Not allowed to {method} on {path}; send {methods.replace(' ', ' or ')}.",
            status=405,
            code="method_not_supported",
        )
    return endpoint, argument


def _find(path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
    if azure := _AZURE.fullmatch(path):
        if "api-version" not in query:
            raise RefusedError("Resource not found: give an api-version", status=404, code="404")
        return "POST", "embeddings" if azure[2] == "embeddings" else "chat", azure[1]
    for root in ("/v1", "/openai/v1", "/v1beta/openai", "/openai"):
        rest = path.removeprefix(root)
        if rest == path:
            continue
        if rest in _PATHS:
            methods, endpoint = _PATHS[rest]
            return methods, endpoint, ""
        for pattern, methods, endpoint in _WITH_ID:
            if found := pattern.fullmatch(rest):
                return methods, endpoint, found[1]
    return "", "", ""
