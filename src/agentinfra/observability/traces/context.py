"""Where a span stands: its trace and its parent, of ours or of other instrumentation."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from agentinfra._mechanics.identifiers import random_hex
from agentinfra._mechanics.vendors import load
from agentinfra.observability.traces.told import Ids

__all__ = [
    "NOTHING_BESIDE",
    "Place",
    "baggage",
    "foreign_span",
    "ids_below",
    "incoming",
    "place_of",
    "traceparent_of",
]

_TRACEPARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_STATE: Final = 512  # characters of a tracestate that are carried on, as W3C asks at least
_BAGGAGE: Final = 8_192  # as W3C asks at least; what is longer is not carried on
NOTHING_BESIDE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A span that others may stand under.

    Attributes:
        trace_id: The trace, 32 hexadecimal digits.
        span_id: The span, 16 hexadecimal digits.
        sampled: Whether it is recorded; None where that is not decided yet.
        remote: Whether it is another process's.
        beside: The headers beside ``traceparent`` (``tracestate``, ``baggage``), carried on as they
            came.
        name: What it does, where that is known.
    """

    trace_id: str
    span_id: str
    sampled: bool | None = None
    remote: bool = False
    beside: Mapping[str, str] = field(default_factory=lambda: NOTHING_BESIDE)
    name: str = ""

    @property
    def traceparent(self) -> str:
        """The W3C header value that continues the trace below it."""
        return traceparent_of(self.trace_id, self.span_id, sampled=self.sampled)


def traceparent_of(trace_id: str, span_id: str, *, sampled: bool | None) -> str:
    """Return the W3C header value that continues a trace below a span.

    Its flag is 00 only where sampling left the trace out: without an exporter of our own the other
    side may still record.
    """
    return f"00-{trace_id}-{span_id}-{'00' if sampled is False else '01'}"


def foreign_span() -> Any:
    """Return the current span of OpenTelemetry's context, None where there is none.

    A program that has not loaded OpenTelemetry has none, and nothing is loaded to find that out.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        context = sys.modules["opentelemetry.context"].get_current()
        if not context:  # nearly always, where nobody else makes spans: the quick way
            return None
        span = trace.get_current_span(context)
    except (AttributeError, KeyError):  # it is being imported in another thread
        return None
    return None if span is trace.INVALID_SPAN else span


def baggage() -> dict[str, str]:
    """Return the ``baggage`` header of what OpenTelemetry's context has, {} where it has none."""
    carried: dict[str, str] = {}
    if "opentelemetry.baggage" in sys.modules:  # else nobody can have put any there
        load("opentelemetry.baggage.propagation").W3CBaggagePropagator().inject(carried)
    return carried


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
        beside=_beside(context.trace_state.to_header() if context.trace_state else "", ""),
    )


def ids_below(above: Any) -> tuple[Ids, str | None]:
    """Return the ids of a new span that nobody exports, and its parent's.

    Args:
        above: What it stands under: a `Place`, a span of OpenTelemetry's, None for a new trace.
    """
    place = above if above is None or isinstance(above, Place) else place_of(above)
    if place is not None:
        return (place.trace_id, random_hex(8)), place.span_id
    fresh = random_hex(24)
    return (fresh[:32], fresh[32:]), None


def incoming(headers: Mapping[str, str] | str | None) -> Place | None:
    """Return the span a request came from; None where its headers say none.

    Args:
        headers: Those of the request, or its ``traceparent`` alone (W3C Trace Context). What
            cannot be read is passed over: a caller's broken header is no failure of ours.
    """
    if headers is None:
        return None
    if isinstance(headers, str):
        small = {"traceparent": headers}
    else:
        small = {str(key).lower(): str(value) for key, value in headers.items()}
    given = small.get("traceparent", "")
    match = _TRACEPARENT.fullmatch(given.strip().lower())
    if match is None or match[1] == "ff" or not int(match[2], 16) or not int(match[3], 16):
        return None
    return Place(
        trace_id=match[2],
        span_id=match[3],
        sampled=bool(int(match[4], 16) & 1),
        remote=True,
        beside=_beside(small.get("tracestate", ""), small.get("baggage", "")),
    )


def _beside(state: str, baggage: str) -> Mapping[str, str]:
    beside = {}
    if state:
        beside["tracestate"] = state[:_STATE]
    if baggage and len(baggage) <= _BAGGAGE:
        beside["baggage"] = baggage
    return beside or NOTHING_BESIDE
