"""Records what a real server says once, and replays it: a preset for vcrpy."""

from __future__ import annotations

import contextlib
import difflib
import functools
import itertools
import json
import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from agentinfra.errors import ConfigurationError

__all__ = ["replay"]

_HEADERS = (
    "authorization",
    "api-key",
    "x-api-key",
    "cookie",
    "set-cookie",
    "openai-organization",
    "openai-project",
    "proxy-authorization",
)
_QUERY = ("api_key", "api-key", "key", "sig", "token", "access_token")
_SECRET = re.compile(rb"\b(?:sk|pk|rk|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{12,}")
_SCRUBBED = "scrubbed"


@contextlib.contextmanager
def replay(path: Path | str, *, record: bool = False, **options: Any) -> Iterator[Any]:
    """Answer the requests of a block from a file, or record them into it.

    Keys, cookies and what looks like a key in a body never reach the file. Bodies are compared as
    JSON, whatever the order of their keys, so that calls that run side by side each get their own
    answer; equal ones get theirs in the order in which they ask. Streams stand in the file as
    text, one event a line.

    Args:
        path: The cassette, a YAML file.
        record: Whether requests that are not in it are sent for real and added to it. Without,
            the block fails for such a request, and says how the nearest recorded one differs.
        options: More of vcrpy's own.

    Raises:
        ConfigurationError: There is no such file.
        vcr.errors.CannotOverwriteExistingCassetteException: A request is not in the cassette.
        MissingPackageError: vcrpy is not installed: ``pip install 'agentinfra[testing]'``.
    """
    if not record and not Path(path).exists():
        raise ConfigurationError(
            f"there is no recording {path}: make it once, with replay(..., record=True)"
        )
    import vcr

    recorder = vcr.VCR(
        record_mode="new_episodes" if record else "none",
        match_on=("method", "scheme", "host", "port", "path", "query", "json body"),
        filter_headers=[(name, _SCRUBBED) for name in _HEADERS],
        filter_query_parameters=[(name, _SCRUBBED) for name in _QUERY],
        before_record_request=_scrub_request,
        before_record_response=_scrub_response,
        decode_compressed_response=True,
    )
    recorder.register_matcher("json body", _same_body)
    given = recorder.get_merged_config(path=str(path), **options)
    with _cassette_class().use(**given) as cassette:
        try:
            yield cassette
        finally:
            cassette.put_in_order()


@functools.cache
def _cassette_class() -> Any:
    from vcr.cassette import Cassette

    class OrderedCassette(Cassette):  # type: ignore[misc]
        """Keeps interactions in the order in which they were asked for.

        vcrpy's own keeps them in the order in which their answers end, so that of two equal calls
        side by side the slower one would get the answer of the other when they are replayed.
        """

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._numbers = itertools.count()
            # The request is held as well: its identity must not become another one's.
            self._asked: dict[int, tuple[Any, int]] = {}
            self._order: list[int] = []

        def can_play_response_for(self, request: Any) -> bool:
            """Say whether a request is answered from the file; one that is sent gets a number."""
            can = bool(super().can_play_response_for(request))
            if not can and id(request) not in self._asked:
                self._asked[id(request)] = (request, next(self._numbers))
            return can

        def append(self, request: Any, response: Any) -> None:
            """Take an interaction."""
            before = len(self.data)
            super().append(request, response)
            if len(self.data) > before:
                _, number = self._asked.get(id(request)) or (request, next(self._numbers))
                self._order.append(number)

        def put_in_order(self) -> None:
            """Put the interactions in the order in which they were asked for."""
            numbered = sorted(zip(self._order, self.data, strict=True), key=itemgetter(0))
            self.data[:] = [interaction for _, interaction in numbered]

    return OrderedCassette


def _scrub_request(request: Any) -> Any:
    if isinstance(request.body, bytes):
        request.body = _SECRET.sub(_SCRUBBED.encode(), request.body)
    return request


def _scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    headers = {
        name: [_SCRUBBED] if name.lower() in _HEADERS else value
        for name, value in response["headers"].items()
    }
    body = response["body"].get("string") or b""
    if isinstance(body, bytes):
        body = _SECRET.sub(_SCRUBBED.encode(), body)
    return {**response, "headers": headers, "body": {**response["body"], "string": body}}


def _same_body(asked: Any, recorded: Any) -> None:
    mine, theirs = _parsed(asked.body), _parsed(recorded.body)
    if mine == theirs:
        return
    lines = difflib.unified_diff(
        _lines(theirs), _lines(mine), "recorded", "asked", lineterm="", n=1
    )
    raise AssertionError("the bodies differ:\n" + "\n".join(lines))


def _parsed(body: Any) -> Any:
    if body is None:
        return None
    raw = body if isinstance(body, bytes) else str(body).encode()
    try:
        return json.loads(_SECRET.sub(_SCRUBBED.encode(), raw))
    except ValueError:
        return raw


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=1, sort_keys=True, default=repr).splitlines()
