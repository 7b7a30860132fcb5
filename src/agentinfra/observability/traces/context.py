"""Where a span stands: its trace and its parent, of ours or of other instrumentation."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Place", "foreign_span", "incoming", "place_of"]

_TRACEPARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_STATE: Final = 512  # characters of a tracestate that are carried on, as W3C asks at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A span that others may stand under.

    Attributes:
        trace_id: The trace, 32 hexadecimal digits.
        span_id: The span, 16 hexadecimal digits.
        sampled: Whether it is recorded; None where that is not decided yet.
        remote: Whether it is another process's.
        state: The vendors' ``tracestate``, carried on as it came.
        name: What it does, where that is known.
    """

    trace_id: str
    span_id: str
    sampled: bool | None = None
    remote: bool = False
    state: str = ""
    name: str = ""


def foreign_span() -> Any:
    """Return the current span of OpenTelemetry's context, None where there is none.

    A program that has not loaded OpenTelemetry has none, and nothing is loaded to find that out.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        span = trace.get_current_span()
    except AttributeError:  # it is being imported in another thread
        return None
    return None if span is trace.INVALID_SPAN else span


def place_of(span: Any) -> Place | None:
    """Return where a span of OpenTelemetry's stands; None for one that is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return Place(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        sampled=bool(context.trace_flags.sampled),
        remote=context.is_remote,
    )


def incoming(headers: Mapping[str, str] | str | None) -> Place | None:
    """Return the span a request came from; None where its headers say none.

    Args:
        headers: Those of the request, or its ``traceparent`` alone (W3C Trace Context). What
            cannot be read is passed over: a caller's broken header is no failure of ours.
    """
    if headers is None:
        return None
    if isinstance(headers, str):
        given, state = headers, ""
    else:
        small = {str(key).lower(): str(value) for key, value in headers.items()}
        given, state = small.get("traceparent", ""), small.get("tracestate", "")
    match = _TRACEPARENT.fullmatch(given.strip().lower())
    if match is None or match[1] == "ff" or not int(match[2], 16) or not int(match[3], 16):
        return None
    return Place(
        trace_id=match[2],
        span_id=match[3],
        sampled=bool(int(match[4], 16) & 1),
        remote=True,
        state=state[:_STATE],
    )
